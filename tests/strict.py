"""The strict layer of the embedded AWS, as tests set and read it (`infra/local/strict_aws.py`)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from infra.local.stack import LocalStack
from infra.local.strict_aws import CONTROL_PATH


class StrictAws:
    """The layer around one embedded AWS.

    Args:
        stack: the local stack that runs on it.
    """

    def __init__(self, stack: LocalStack) -> None:
        self._url = stack.aws_endpoint_url + CONTROL_PATH

    @contextlib.contextmanager
    def limits(self, **changed: float) -> Iterator[None]:
        """Other limits for as long as the context lasts; counting of units and refusals starts again."""
        before = self._read()["limits"]
        self._put(changed)
        try:
            yield
        finally:
            self._put({name: before[name] for name in changed})

    def units(self, table: str, key: str) -> dict[str, float]:
        """Units that were consumed of a partition key since `limits(record_units=True)`, by kind: read, write."""
        found: dict[str, float] = self._read()["units"].get(table, {}).get(key, {"read": 0, "write": 0})
        return found

    def refused(self) -> dict[str, int]:
        """How many requests to DynamoDB were refused since the limits were changed, by error code."""
        found: dict[str, int] = self._read()["refused"]
        return found

    def _read(self) -> dict[str, Any]:
        response = httpx.get(self._url, trust_env=False).raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def _put(self, values: dict[str, float]) -> None:
        httpx.put(self._url, json=values, trust_env=False).raise_for_status()
