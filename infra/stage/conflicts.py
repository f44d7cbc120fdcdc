"""Single-item writes of commands that meet a transaction on the same item (`aws_rules.py`, A5)."""

import random
from typing import Any

MAX_ATTEMPTS = 6
BACKOFF_SECONDS = 0.02


def retry_conflicts(dynamodb: Any) -> Any:  # noqa: ANN401 - a boto3 client, made at run time
    """Have a DynamoDB client send a write again when it was refused with `TransactionConflictException`.

    botocore itself does not. The service writes pass and device rows in transactions, which take milliseconds.

    Args:
        dynamodb: a boto3 client; it is changed.

    Returns:
        The same client.
    """
    dynamodb.meta.events.register("needs-retry.dynamodb", _seconds_until_retry)
    return dynamodb


def _seconds_until_retry(response: Any, attempts: int, **_: object) -> float | None:  # noqa: ANN401 - botocore's
    """How long botocore waits before the next attempt; None to leave it to botocore."""
    code = response[1].get("Error", {}).get("Code") if response is not None else None
    if code != "TransactionConflictException" or attempts >= MAX_ATTEMPTS:
        return None
    return random.uniform(0.5, 1) * BACKOFF_SECONDS * float(2**attempts)  # noqa: S311 - jitter, no secret
