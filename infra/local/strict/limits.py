"""The limits of the rules, the buckets and names that they are kept with, and the types of ministack's parts."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

OK, ACCEPTED = 200, 202

Module = Any
"""A module of ministack, which has no types."""
Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes | str]
Handler = Callable[[str, str, dict[str, str], bytes, Json], Awaitable[Response]]


@dataclass(slots=True)
class Limits:
    """The limits of the rules. Zero switches a rule off.

    Args:
        read_units_per_second: per partition key (AWS: 3,000).
        write_units_per_second: per partition key (AWS: 1,000).
        transaction_seconds: how long a TransactWriteItems holds its items.
        transaction_refusals: how many single writes are refused because of transactions until transactions hold their
            items no longer.
        settling_seconds: how long an event source mapping is Creating or Updating (AWS: tens of seconds).
        queue_name_seconds: how long the name of a deleted queue is not free (AWS: 60).
        secret_name_seconds: how long the name of a secret that was deleted by force is not free (AWS: not documented).
        log_reads_per_second: FilterLogEvents per account (AWS: 5).
        invocation_bytes: the largest payload of a synchronous invocation (AWS: 6 MB).
        existing_names: whether a change set that would create an existing name is refused.
        account_rate: requests per second that the gateway accepts for all stages together (AWS: 10,000).
        account_burst: the number of them that may come at once (AWS: 5,000). The limits of each stage and method are
            those that it is deployed with.
        record_units: whether consumed units are counted by table and partition key.
        account_concurrency: executions of all functions of the account at once (AWS: 1,000, or 10 in a new account).
    """

    read_units_per_second: float = 3000
    write_units_per_second: float = 1000
    transaction_seconds: float = 0.002
    transaction_refusals: int = 0
    settling_seconds: float = 3
    queue_name_seconds: float = 3
    secret_name_seconds: float = 2
    log_reads_per_second: float = 5
    invocation_bytes: int = 6 * 1024 * 1024
    existing_names: bool = True
    account_rate: float = 10_000
    account_burst: float = 5_000
    record_units: bool = False
    account_concurrency: int = 1000

    def change(self, values: Json) -> None:
        """Set the limits in `values`.

        Raises:
            KeyError: a name in it is not a limit.
        """
        if unknown := values.keys() - asdict(self).keys():
            raise KeyError(f"not a limit: {', '.join(sorted(unknown))}")
        for name, value in values.items():
            setattr(self, name, value)


class TokenBucket:
    """Fills at a rate up to a burst. Its level may be negative, since the cost of an answer is known only afterwards.

    Args:
        rate: tokens per second.
        burst: its capacity, at least one token.
        now: monotonic seconds.
    """

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = max(1.0, burst)
        self.level = self.burst
        self.at = now

    def admits(self, now: float) -> bool:
        """Return true if at least one token is left at `now`."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level >= 1

    def take(self, amount: float) -> None:
        self.level -= amount


@dataclass(slots=True)
class Names:
    """Names that cannot be used again yet, with the times at which they were deleted (monotonic seconds)."""

    deleted_at: dict[str, float] = field(default_factory=dict)

    def mark_deleted(self, name: str) -> None:
        self.deleted_at[name] = time.monotonic()

    def is_free(self, name: str, *, after: float) -> bool:
        at = self.deleted_at.get(name)
        return at is None or time.monotonic() - at >= after


def json_error(code: str, message: str, status: int) -> Response:
    """Make an error of a JSON API."""
    body = json.dumps({"__type": code, "Type": "User", "Message": message, "message": message}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-errortype": code}, body
