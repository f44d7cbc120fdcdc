"""Count of the attempts at a push task, stored in its message: SQS counts the receives of a single message only.

When an attempt makes progress, the push worker sends the rest of the task as a new message, for which SQS counts the
receives from one again. Without a count in the message, the delay between attempts would never grow, and the attempts
would never end.
"""

import json

MAX_ATTEMPTS = 200
"""Attempts after which the rest is no longer sent as a new message: the message itself returns to the queue until SQS's
limit of receives makes it a dead letter. With a quarter of an hour between attempts, that is after two days.
"""
_KEY = "attempts"


def with_attempts(text: str, attempts: int) -> str:
    """Return a message (the text of a JSON object) with its count of attempts added; unchanged if the count is 0."""
    return (
        json.dumps({**json.loads(text), _KEY: attempts}, separators=(",", ":"), ensure_ascii=False)
        if attempts
        else text
    )


def attempts_of(text: str) -> int:
    """Return the count of attempts in a message; 0 if it has no count, or if the text is not a JSON object."""
    if f'"{_KEY}"' not in text:
        return 0
    try:
        content = json.loads(text)
    except ValueError:
        return 0
    found = content.get(_KEY) if isinstance(content, dict) else None
    return found if isinstance(found, int) and found > 0 else 0
