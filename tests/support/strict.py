"""Sets and reads the limits of the embedded AWS (`infra/local/strict/`)."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.local.run import LocalRun
from infra.local.strict.application import CONTROL_PATH

HELD_SECONDS = 10
TIMEOUT_SECONDS = 60
"""For a request to an embedded AWS that is busy, as in a benchmark."""
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1, "mode": "standard"})


class StrictAws:
    """The limits of one embedded AWS.

    Args:
        stack: the local run on it.
    """

    def __init__(self, stack: LocalRun) -> None:
        self._url = stack.aws_endpoint_url + CONTROL_PATH

    def record_units(self, *, on: bool) -> dict[str, dict[str, dict[str, float]]]:
        """Start or stop counting the units of partitions; returns those so far, by table, key and kind."""
        units: dict[str, dict[str, dict[str, float]]] = self._read()["units"]
        self._put({"record_units": on})
        return units

    @contextlib.contextmanager
    def limits(self, **changed: float) -> Iterator[None]:
        """Change limits while the context lasts; the counts of units and refusals start again."""
        before = self._read()["limits"]
        self._put(changed)
        try:
            yield
        finally:
            self._put({name: before[name] for name in changed})

    def during_a_transaction(self, call: Callable[[], object], *, table: str, key: dict[str, Any]) -> None:
        """Make a call that writes an item during a transaction on it; the transaction ends once the write was refused.

        Args:
            call: is to succeed in the end.
            table: name of the table.
            key: of the item, as DynamoDB's JSON.
        """
        update = {"TableName": table, "Key": key, "UpdateExpression": "REMOVE nothing"}
        dynamodb = client("dynamodb")
        refusal = dynamodb.exceptions.TransactionConflictException
        with (
            ThreadPoolExecutor(1) as threads,
            self.limits(transaction_seconds=HELD_SECONDS, transaction_refusals=2),
        ):
            transaction = threads.submit(dynamodb.transact_write_items, TransactItems=[{"Update": update}])
            while not self._conflicts():  # the transaction has not begun
                with contextlib.suppress(refusal):
                    dynamodb.update_item(**update)
            call()
            transaction.result()
            assert self._conflicts() > 1, "the call did not conflict with the transaction"

    def _conflicts(self) -> int:
        return self.refused().get("TransactionConflictException", 0)

    def units(self, table: str, key: str) -> dict[str, float]:
        """The units that a partition key has consumed since `limits(record_units=True)`, by kind: read, write."""
        found: dict[str, float] = self._read()["units"].get(table, {}).get(key, {"read": 0, "write": 0})
        return found

    def refused(self) -> dict[str, int]:
        """Count the requests to DynamoDB that were refused since the limits were changed, by error code."""
        found: dict[str, int] = self._read()["refused"]
        return found

    def _read(self) -> dict[str, Any]:
        response = httpx.get(self._url, trust_env=False, timeout=TIMEOUT_SECONDS).raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def _put(self, values: dict[str, float]) -> None:
        httpx.put(self._url, json=values, trust_env=False, timeout=TIMEOUT_SECONDS).raise_for_status()


def client(service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """Make a client that does not retry."""
    return boto3.client(service, config=ONE_ATTEMPT)


def refusal(call: Callable[[], object]) -> str:
    """Return the error code of a call that fails."""
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


def error_code(write: Callable[[], object]) -> str | None:
    """Return the error code of a call that may fail, or None."""
    try:
        write()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None
