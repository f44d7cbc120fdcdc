"""The four tables as pynamodb models, and the one connection that a warm sandbox keeps to DynamoDB.

Items of the passes table are the pipelines' own, of any shape, and are read raw (`passes.py`).
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError
from pynamodb.attributes import BooleanAttribute, MapAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException, TransactGetError, TransactWriteError, VerboseClientError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from chalicelib.aws import session
from chalicelib.core.errors import TransientError
from chalicelib.settings import Settings

MAX_CONFLICTS = 6
"""How many times a request that met a transaction on the same item is sent: ten passes added at once meet in one
device row. botocore does not retry conflicts.
"""
CONFLICT_BACKOFF_SECONDS = 0.02

CONDITION_FAILED = "ConditionalCheckFailedException"

_M = TypeVar("_M", bound=Model)
_R = TypeVar("_R")


class StoreError(TransientError):
    """DynamoDB did not carry a request out: throttled, unreachable, or in conflict for too long."""


class VersionRow(Model):
    """What is known of a pass's changes; `domain.updates.Version`. A pass that was personalized before its first stamp
    has a row without one, and so has a pass that was only ever refused. `domain.updates.VersionState` says what else a
    row holds. `delivered_at` is on the rows of APNs clients alone (`Versions.note_delivery`).
    """

    pass_id = UnicodeAttribute(hash_key=True)
    modified_at = NumberAttribute(null=True)
    revision = NumberAttribute(null=True)
    deleted = BooleanAttribute(null=True)
    personalized = BooleanAttribute(null=True)
    announced = NumberAttribute(null=True)
    last_record = UnicodeAttribute(null=True)
    fan_out = UnicodeAttribute(null=True)
    delivered_at = NumberAttribute(null=True)
    refused: MapAttribute[str, str] = MapAttribute(null=True)  # type: ignore[no-untyped-call]  # pynamodb has no types for it
    recheck_stamp: MapAttribute[str, Any] = MapAttribute(null=True)  # type: ignore[no-untyped-call]  # likewise


class ItemRow(Model):
    """What this service writes of a pipeline's item, and no more."""

    pass_id = UnicodeAttribute(hash_key=True)
    personalization: MapAttribute[str, str] = MapAttribute(null=True)  # type: ignore[no-untyped-call]  # pynamodb has no types for it


class RegistrationRow(Model):
    """That a device holds a pass."""

    pass_id = UnicodeAttribute(hash_key=True)
    device_library_identifier = UnicodeAttribute(range_key=True)
    registered_at = NumberAttribute()


class DeviceRow(Model):
    """Where a device is reached and what it holds. `updated_at` is in milliseconds, as the times that APNs names."""

    device_library_identifier = UnicodeAttribute(hash_key=True)
    push_token = UnicodeAttribute()
    passes = UnicodeSetAttribute(null=True)
    updated_at = NumberAttribute()
    rejected_at = NumberAttribute(null=True)


class Tables:
    """The stage's tables behind one connection. It lives as long as the sandbox; make one."""

    def __init__(self, settings: Settings) -> None:
        self.connection = Connection()
        self.connection._client = session.client("dynamodb")  # noqa: SLF001 - pynamodb would make a session of its own
        self.passes = settings.passes_table
        self.items = self._bind(ItemRow, settings.passes_table)
        self.versions = self._bind(VersionRow, settings.versions_table)
        self.registrations = self._bind(RegistrationRow, settings.registrations_table)
        self.devices = self._bind(DeviceRow, settings.devices_table)

    def transact_write(self, compose: Callable[[TransactWrite], None]) -> list[str | None]:
        """Carry out a transaction: tried again while it only meets others.

        Returns:
            An empty list when it was carried out; otherwise, in the order checks, deletes, puts, updates, the code
            why each of its parts cancelled it (`ConditionalCheckFailed`) or None.

        Raises:
            StoreError: DynamoDB did not carry it out, or others were in the way for too long.
        """
        for attempt in range(MAX_CONFLICTS):
            try:
                with _translated("TransactWriteItems"), TransactWrite(connection=self.connection) as transaction:
                    compose(transaction)
            except _CancelledError as cancelled:
                if "ConditionalCheckFailed" in cancelled.codes:
                    return cancelled.codes
                _back_off(attempt)
            else:
                return []
        raise StoreError("DynamoDB: TransactWriteItems was in conflict with others for too long; try again")

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One request that pynamodb's models have no form for: raw reads, and batches over several tables.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        return self._retry_conflicts(operation, lambda: self.connection.dispatch(operation, parameters))

    def write_one(self, operation: str, write: Callable[[], object]) -> bool:
        """Write a single item through a pynamodb model; retried while a transaction holds the same item.

        DynamoDB refuses such a write with `TransactionConflictException` ("Transaction conflict handling in DynamoDB").

        Args:
            operation: PutItem, UpdateItem or DeleteItem, for the error message.
            write: sends the request; called again for each attempt.

        Returns:
            False if the write's own condition failed, and nothing was written.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        try:
            self._retry_conflicts(operation, write)
        except PynamoDBException as error:
            if error.cause_response_code != CONDITION_FAILED:
                raise
            return False
        return True

    def _retry_conflicts(self, operation: str, request: Callable[[], _R]) -> _R:
        for attempt in range(MAX_CONFLICTS):
            try:
                with _translated(operation):
                    return request()
            except _CancelledError:
                _back_off(attempt)
        raise StoreError(f"DynamoDB: {operation} was in conflict with others for too long; try again")

    def batch_get(self, requests: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """BatchGetItem, and again for what DynamoDB left unprocessed: raw items by table name.

        Raises:
            StoreError: DynamoDB did not carry it out, or left something unprocessed for too long.
        """
        found: dict[str, list[dict[str, Any]]] = {table: [] for table in requests}
        for attempt in range(MAX_CONFLICTS):
            response = self.call("BatchGetItem", {"RequestItems": requests})
            for table, items in response.get("Responses", {}).items():
                found[table].extend(items)
            requests = response.get("UnprocessedKeys") or {}
            if not requests:
                return found
            _back_off(attempt)
        raise StoreError("DynamoDB: BatchGetItem left keys unprocessed for too long; try again")

    def _bind(self, model: type[_M], table_name: str) -> type[_M]:
        """A copy of the model for this table. Every model shares the one connection: a client of its own would cost
        each of them a cold start's 50 ms and a TLS handshake.
        """
        meta = type("Meta", (), {"table_name": table_name})
        bound: type[_M] = type(model.__name__, (model,), {"Meta": meta})
        table = bound._get_connection()  # noqa: SLF001 - pynamodb has no public way to share a connection
        self.connection.add_meta_table(table.get_meta_table())
        table.connection = self.connection
        return bound


class _CancelledError(Exception):
    """A request did not happen: a transaction's conditions failed, or it met another transaction on the same item."""

    def __init__(self, codes: list[str | None]) -> None:
        super().__init__("transaction cancelled")
        self.codes = codes


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    try:
        yield
    except (TransactWriteError, TransactGetError) as error:
        reasons = [reason.code if reason else None for reason in error.cancellation_reasons]
        if error.cause_response_code in _CANCELLED_CODES:
            raise _CancelledError(reasons) from None
        raise _store_error(operation, error.cause_response_code) from None
    except PynamoDBException as error:
        if error.cause_response_code == CONDITION_FAILED:
            raise
        if error.cause_response_code in _CANCELLED_CODES:
            raise _CancelledError([]) from None
        raise _store_error(operation, error.cause_response_code) from None
    except VerboseClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code in _CANCELLED_CODES:
            raise _CancelledError([]) from None
        raise _store_error(operation, code) from None
    except BotoCoreError as error:
        raise _store_error(operation, type(error).__name__) from None


_CANCELLED_CODES = (
    "TransactionCanceledException",
    "TransactionConflictException",
    "TransactionInProgressException",
)


def _store_error(operation: str, code: str | None) -> StoreError:
    """Only the code: DynamoDB's messages and the request itself can hold what must not be logged."""
    return StoreError(f"DynamoDB: {operation} failed with {code or 'no answer'}")


def _back_off(attempt: int) -> None:
    time.sleep(random.uniform(0.5, 1) * CONFLICT_BACKOFF_SECONDS * 2**attempt)  # noqa: S311 - jitter, no secret
