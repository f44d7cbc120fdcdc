"""Defines the five tables as pynamodb models, and the connection to DynamoDB of a warm execution environment.

Pipelines write items of any form to the passes table, so these are read without a model (`passes.py`).
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
"""Attempts of a request that conflicts with a transaction on the same item: ten passes that a device adds at once
update the same device row. botocore does not retry conflicts.
"""
CONFLICT_BACKOFF_SECONDS = 0.02

CONDITION_FAILED = "ConditionalCheckFailedException"

_M = TypeVar("_M", bound=Model)
_R = TypeVar("_R")


class StoreError(TransientError):
    """DynamoDB did not carry out a request: throttled, unreachable, or in conflict for too long."""


class VersionRow(Model):
    """Version of a pass (`updates.protocol.Version`).

    A pass that was personalized or refused before its first stamp has a row without a stamp.
    `updates.protocol.VersionState` documents the other attributes. Only rows of APNs clients have `delivered_at`
    (`Versions.note_delivery`), only the row of the timelines has `..._free_at` (`Timelines`), and only notes of events
    have `note` (`Versions.note_event`).
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
    note = UnicodeAttribute(null=True)
    noted_at = NumberAttribute(null=True)
    stage_free_at = NumberAttribute(null=True)
    narrow_free_at = NumberAttribute(null=True)
    wide_free_at = NumberAttribute(null=True)
    refused: MapAttribute[str, str] = MapAttribute(null=True)  # type: ignore[no-untyped-call]  # pynamodb has no types for it
    recheck_stamp: MapAttribute[str, Any] = MapAttribute(null=True)  # type: ignore[no-untyped-call]  # pynamodb has no types for it


class ItemRow(Model):
    """The only attribute that this service writes to a pipeline's item."""

    pass_id = UnicodeAttribute(hash_key=True)
    personalization: MapAttribute[str, str] = MapAttribute(null=True)  # type: ignore[no-untyped-call]  # pynamodb has no types for it


class RegistrationRow(Model):
    """A device holds a pass."""

    pass_id = UnicodeAttribute(hash_key=True)
    device_library_identifier = UnicodeAttribute(range_key=True)
    registered_at = NumberAttribute()
    counted = NumberAttribute(null=True)
    silent = BooleanAttribute(null=True)
    wallet = UnicodeAttribute(null=True)


class DeviceRow(Model):
    """Push token and passes of a device. `updated_at` is in epoch milliseconds, like the timestamps of APNs."""

    device_library_identifier = UnicodeAttribute(hash_key=True)
    push_token = UnicodeAttribute()
    passes = UnicodeSetAttribute(null=True)
    updated_at = NumberAttribute()
    rejected_at = NumberAttribute(null=True)
    wallet = UnicodeAttribute(null=True)


class CountRow(Model):
    """A count of holders, or a note about a removal (`counts.py`)."""

    id = UnicodeAttribute(hash_key=True)
    holders = NumberAttribute(null=True)
    position = UnicodeAttribute(null=True)
    template = UnicodeAttribute(null=True)
    added = NumberAttribute(null=True)
    removed = NumberAttribute(null=True)
    updated = NumberAttribute(null=True)
    announced = NumberAttribute(null=True)
    kinds = UnicodeSetAttribute(null=True)
    cause = UnicodeAttribute(null=True)
    registered_until = NumberAttribute(null=True)
    expires_at = NumberAttribute(null=True)


class Tables:
    """The stage's tables behind one connection. Make one per execution environment.

    Args:
        settings: names of the tables.
        client: botocore's client for DynamoDB; None to make one.
    """

    def __init__(self, settings: Settings, *, client: Any = None) -> None:  # noqa: ANN401 - botocore's have no types
        self.connection = Connection()
        self.connection._client = client if client is not None else session.client("dynamodb")  # noqa: SLF001 - pynamodb would make its own session
        self.passes = settings.passes_table
        self.items = self._bind(ItemRow, settings.passes_table)
        self.versions = self._bind(VersionRow, settings.versions_table)
        self.registrations = self._bind(RegistrationRow, settings.registrations_table)
        self.devices = self._bind(DeviceRow, settings.devices_table)
        self.counts = self._bind(CountRow, settings.counts_table)

    def transact_write(self, compose: Callable[[TransactWrite], None]) -> list[str | None]:
        """Carry out a transaction; retried while it conflicts with other transactions.

        Args:
            compose: adds the parts of the transaction; called again for each attempt.

        Returns:
            An empty list if it was carried out. Otherwise, in the order checks, deletes, puts, updates: the code of
            each part that cancelled it (`ConditionalCheckFailed`), None for other parts.

        Raises:
            StoreError: DynamoDB did not carry it out, or it was in conflict for too long.
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

    def transact(self, items: list[dict[str, Any]]) -> bool:
        """Carry out a transaction of raw actions; retried while it conflicts with other transactions.

        It is for calls of phones: pynamodb's models need half a millisecond to describe a transaction.

        Args:
            items: the `TransactItems` of DynamoDB's API.

        Returns:
            True if it was carried out, False if a condition failed and nothing was written.

        Raises:
            StoreError: DynamoDB did not carry it out, or it was in conflict for too long.
        """
        for attempt in range(MAX_CONFLICTS):
            try:
                with _translated("TransactWriteItems"):
                    self.connection.dispatch("TransactWriteItems", {"TransactItems": items})
            except _CancelledError as cancelled:
                if "ConditionalCheckFailed" in cancelled.codes:
                    return False
                _back_off(attempt)
            else:
                return True
        raise StoreError("DynamoDB: TransactWriteItems was in conflict with others for too long; try again")

    def call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Send one request that pynamodb's models do not support: raw reads, and batches over several tables.

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
        """Send BatchGetItem, again for keys that DynamoDB left unprocessed; returns raw items by table name.

        Raises:
            StoreError: DynamoDB did not carry it out, or left keys unprocessed for too long.
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
        """Copy a model for a table. All models share the connection, because a client per model would add 50 ms and a
        TLS handshake to a cold start for each.
        """
        meta = type("Meta", (), {"table_name": table_name})
        bound: type[_M] = type(model.__name__, (model,), {"Meta": meta})
        table = bound._get_connection()  # noqa: SLF001 - pynamodb has no public way to share a connection
        self.connection.add_meta_table(table.get_meta_table())
        table.connection = self.connection
        return bound


class _CancelledError(Exception):
    """A request was cancelled: a condition failed, or it conflicted with another transaction on the same item."""

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
            raise _CancelledError([reason.code if reason else None for reason in error.cancellation_reasons]) from None
        raise _store_error(operation, code) from None
    except BotoCoreError as error:
        raise _store_error(operation, type(error).__name__) from None


_CANCELLED_CODES = (
    "TransactionCanceledException",
    "TransactionConflictException",
    "TransactionInProgressException",
)


def _store_error(operation: str, code: str | None) -> StoreError:
    """Make an error with the code only: DynamoDB's messages can contain values that must not be logged."""
    return StoreError(f"DynamoDB: {operation} failed with {code or 'no answer'}")


def _back_off(attempt: int) -> None:
    time.sleep(random.uniform(0.5, 1) * CONFLICT_BACKOFF_SECONDS * 2**attempt)  # noqa: S311 - jitter, no secret
