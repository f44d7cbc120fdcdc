"""The embedded DynamoDB refuses what DynamoDB refuses, and counts units as it does; the service handles both."""

import math
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from chalicelib.aws.tables.connection import StoreError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.schedules.tables import ScratchTables
from tests.support.caller import Caller
from tests.support.in_process import Answer, InProcess
from tests.support.routes import PASS as PASS_ROUTE
from tests.support.strict import StrictAws, client, error_code, refusal

PASS = PassId("pass.com.example.strict", "1")
DEVICE = DeviceLibraryIdentifier("device")
TOKEN = PushToken("0" * 64)


# ------------------------------------------------------------ A5: conflicts with transactions


def test_single_item_write_is_refused_while_a_transaction_holds_the_item(
    strict: StrictAws, tables: ScratchTables
) -> None:
    table = tables.names["versions"]
    dynamodb = client("dynamodb")
    key = {"pass_id": {"S": "a"}}
    writes: list[Callable[[], object]] = [
        lambda: dynamodb.put_item(TableName=table, Item=key),
        lambda: dynamodb.update_item(TableName=table, Key=key),
        lambda: dynamodb.delete_item(TableName=table, Key=key),
    ]
    with ThreadPoolExecutor() as threads:
        with strict.limits(transaction_seconds=60):
            put = [{"Put": {"TableName": table, "Item": key}}]
            transaction = threads.submit(client("dynamodb").transact_write_items, TransactItems=put)
            while not (refused := error_code(writes[0])):
                assert not transaction.done()
            assert [refused, *(refusal(write) for write in writes[1:])] == ["TransactionConflictException"] * 3
            assert refusal(lambda: dynamodb.transact_write_items(TransactItems=put)) == "TransactionCanceledException"
            assert dynamodb.get_item(TableName=table, Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 200
        transaction.result()  # with the limit as before, it ends
    dynamodb.put_item(TableName=table, Item=key)


def test_phone_that_removes_several_passes_at_once_is_never_refused(
    strict: StrictAws, stack: LocalRun, pipeline: Pipeline, issuer: Issuer
) -> None:
    """Each removal deletes the empty device row, which the others' transactions change (A5)."""
    serial_numbers = [f"A5-{secrets.token_hex(4)}" for _ in range(5)]
    phone = Phone()
    for serial_number in serial_numbers:
        phone.adds(issuer.issues(pipeline.writes(serial_number)).content)
    with strict.limits(transaction_seconds=0.03), ThreadPoolExecutor(len(serial_numbers)) as threads:
        removals = [
            threads.submit(phone.removes, stack.pass_type_identifier, serial_number) for serial_number in serial_numbers
        ]
        for removal in removals:
            removal.result()
    devices = boto3.resource("dynamodb").Table(stack.tables["devices"])
    assert "Item" not in devices.get_item(Key={"device_library_identifier": phone.device_library_identifier})


@pytest.mark.parametrize("write", ["stamp_at", "stamp_next", "delete_if_empty"])
def test_store_retries_a_single_item_write_that_met_a_transaction(
    strict: StrictAws, tables: ScratchTables, write: str
) -> None:
    store = tables.store()
    store.versions.stamp_at(PASS, now=100, changes=1, deleted=False)
    store.registrations.create(DEVICE, PASS, push_token=TOKEN, at=1)
    store.registrations.delete(DEVICE, PASS)
    row: tuple[str, dict[str, Any]] = {
        "stamp_at": (tables.names["versions"], {"pass_id": {"S": str(PASS)}}),
        "stamp_next": (tables.names["versions"], {"pass_id": {"S": str(PASS)}}),
        "delete_if_empty": (tables.names["devices"], {"device_library_identifier": {"S": DEVICE.value}}),
    }[write]
    calls: dict[str, Callable[[], object]] = {
        "stamp_at": lambda: store.versions.stamp_at(PASS, now=200, changes=1, deleted=False),
        "stamp_next": lambda: store.versions.stamp_next(PASS, changes=1, deleted=False),
        "delete_if_empty": lambda: store.devices.delete_if_empty(DEVICE),
    }
    table, key = row
    strict.during_a_transaction(calls[write], table=table, key=key)


# ------------------------------------------------------------ A9: units per item and second


def test_one_partition_key_takes_so_many_units_per_second(strict: StrictAws, tables: ScratchTables) -> None:
    table = tables.names["versions"]
    dynamodb = client("dynamodb")

    def read(key: str) -> object:
        return dynamodb.get_item(TableName=table, Key={"pass_id": {"S": key}}, ConsistentRead=True)

    def write(key: str) -> object:
        return dynamodb.put_item(TableName=table, Item={"pass_id": {"S": key}})

    for key in ("a", "b"):
        write(key)
    with strict.limits(read_units_per_second=0.01, write_units_per_second=0.01):
        read("a")
        write("a")
        assert refusal(lambda: read("a")) == "ThrottlingException"
        assert refusal(lambda: write("a")) == "ThrottlingException"
        read("b")  # another partition
        keys = [{"pass_id": {"S": key}} for key in ("a", "c")]
        answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        assert answer["UnprocessedKeys"][table]["Keys"] == keys[:1]
        puts = [{"PutRequest": {"Item": key}} for key in keys]
        answer = dynamodb.batch_write_item(RequestItems={table: puts})
        assert answer["UnprocessedItems"][table] == puts[:1]
        transaction = [{"Put": {"TableName": table, "Item": {"pass_id": {"S": key}}}} for key in ("a", "d")]
        assert (
            refusal(lambda: dynamodb.transact_write_items(TransactItems=transaction)) == "TransactionCanceledException"
        )
    read("a")


def test_store_answers_transient_error_when_a_partition_is_throttled(strict: StrictAws, tables: ScratchTables) -> None:
    """The error contains the code, so that the log distinguishes throttling from an outage."""
    store = tables.store()
    with strict.limits(read_units_per_second=0.001):
        store.versions.get(PASS)
        with pytest.raises(StoreError, match="GetItem failed with Throttling"):
            store.versions.get(PASS)


def test_each_call_takes_the_units_that_it_must_of_the_rows_that_many_phones_share(
    strict: StrictAws, stack: LocalRun, pipeline: Pipeline, issuer: Issuer
) -> None:
    """A pass of a million phones has one item and one version row, each with 3,000 units per second (A9, A15)."""
    caller = Caller(InProcess(stack), pipeline, issuer)
    serial_number = caller.gets_a_pass()
    pass_id = f"{stack.pass_type_identifier}/{serial_number}"
    last_modified = caller.downloads(serial_number).headers["Last-Modified"]
    calls: dict[str, Callable[[], object]] = {
        "register": lambda: caller.registers(serial_number),
        "list": caller.lists,
        "download": lambda: caller.downloads(serial_number),
        "download, not modified": lambda: caller.downloads(serial_number, **{"If-Modified-Since": last_modified}),
        "unregister": lambda: caller.unregisters(serial_number),
    }
    taken = {}
    for name, call in calls.items():
        with strict.limits(record_units=True):
            call()
            taken[name] = tuple(
                # publish_events reads a pass's template with half a unit per new or removed registration, at any time
                math.floor(strict.units(stack.tables[role], pass_id)["read"])
                for role in ("versions", "passes")
            )
    assert taken == {
        "register": (1, 1),
        "list": (1, 0),
        "download": (1, 1),
        "download, not modified": (1, 1),
        "unregister": (0, 1),
    }


def test_token_of_the_item_costs_one_unit_more_and_tells_nothing_of_the_item(
    strict: StrictAws, stack: LocalRun, pipeline: Pipeline
) -> None:
    """The token is read before the item."""
    service, serial_number, token = InProcess(stack), secrets.token_hex(8), secrets.token_hex(16)
    pass_id = str(pipeline.writes(serial_number, authentication_token=token))

    def download(presented: str, **headers: str) -> Answer:
        headers["Authorization"] = f"ApplePass {presented}"
        return service.calls("GET", PASS_ROUTE, stack.pass_type_identifier, serial_number, headers=headers)

    last_modified = download(token).headers["Last-Modified"]
    calls: dict[str, Callable[[], Answer]] = {
        "download": lambda: download(token),
        "download, not modified": lambda: download(token, **{"If-Modified-Since": last_modified}),
        "download with a wrong token": lambda: download("0" * 32),
    }
    taken = {}
    for name, call in calls.items():
        with strict.limits(record_units=True):
            status = call().status
            units = (strict.units(stack.tables[role], pass_id)["read"] for role in ("versions", "passes"))
            taken[name] = (status, *units)
    assert taken == {
        "download": (200, 1, 2),
        "download, not modified": (304, 1, 1),
        "download with a wrong token": (401, 1, 1),
    }
