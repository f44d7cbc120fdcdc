"""How often a push task was put off: a number inside the message, since SQS counts the receives of one message only.

The push worker sends what is left of a task that made progress as a new message, whose receives SQS counts from one
again. Without a number of its own such a chain of messages would never wait longer, and would have no end.
"""

import json

MAX_ATTEMPTS = 200
"""After so many, what is left is no longer sent as a new message: the message itself comes back, and SQS's limit of
receives ends it as a dead letter. With a quarter of an hour between two attempts that is after two days.
"""
_KEY = "attempts"


def with_attempts(text: str, attempts: int) -> str:
    """The message (a JSON object) with the number of times that it was put off; unchanged for 0."""
    return (
        json.dumps({**json.loads(text), _KEY: attempts}, separators=(",", ":"), ensure_ascii=False)
        if attempts
        else text
    )


def attempts_of(text: str) -> int:
    """How often the task of a message was put off; 0 where the message does not say."""
    if f'"{_KEY}"' not in text:
        return 0
    try:
        content = json.loads(text)
    except ValueError:
        return 0
    found = content.get(_KEY) if isinstance(content, dict) else None
    return found if isinstance(found, int) and found > 0 else 0
