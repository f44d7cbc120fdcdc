"""The embedded AWS refuses what AWS refuses, and the service handles it."""

import json
import math
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.tables.connection import StoreError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from infra.deploy.resources import resources
from infra.local.phone import Phone
from infra.local.run import LocalRun
from infra.local.strict.limits import TokenBucket
from tests.conftest import Issuer, Pipeline
from tests.schedules.tables import ScratchTables
from tests.support.caller import Caller
from tests.support.in_process import Answer, InProcess
from tests.support.routes import PASS as PASS_ROUTE
from tests.support.strict import StrictAws

ONE_ATTEMPT = Config(retries={"total_max_attempts": 1, "mode": "standard"})
PASS = PassId("pass.com.example.strict", "1")
DEVICE = DeviceLibraryIdentifier("device")
TOKEN = PushToken("0" * 64)


@pytest.fixture
def tables(stack: LocalRun) -> Iterator[ScratchTables]:
    assert stack
    with ScratchTables() as made:
        yield made


def client(service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """Make a client that does not retry."""
    return boto3.client(service, config=ONE_ATTEMPT)


def refusal(call: Callable[[], object]) -> str:
    """Return the error code of a call that fails."""
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


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
            while not (refused := _refused(writes[0])):
                assert not transaction.done()
            assert [refused, *(refusal(write) for write in writes[1:])] == ["TransactionConflictException"] * 3
            assert refusal(lambda: dynamodb.transact_write_items(TransactItems=put)) == "TransactionCanceledException"
            assert dynamodb.get_item(TableName=table, Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 200
        transaction.result()  # with the limit as before, it ends
    dynamodb.put_item(TableName=table, Item=key)


def _refused(write: Callable[[], object]) -> str | None:
    try:
        write()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


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


@given(rate=st.floats(1, 1e4), gaps=st.lists(st.floats(0, 3), max_size=60))
def test_token_bucket_admits_its_burst_and_then_its_rate(rate: float, gaps: list[float]) -> None:
    bucket = TokenBucket(rate=rate, burst=rate, now=0.0)
    now = admitted = 0.0
    for gap in gaps:
        now += gap
        while bucket.admits(now):
            bucket.take(rate / 4)
            admitted += rate / 4
    assert admitted <= rate + rate * now + rate / 4


# ------------------------------------------------------------ A2: event source mappings settle slowly


def test_event_source_mapping_refuses_changes_until_it_has_settled(strict: StrictAws, stack: LocalRun) -> None:
    functions = client("lambda")
    queue = client("sqs").create_queue(QueueName=f"settle-{secrets.token_hex(4)}")["QueueUrl"]
    source = f"arn:aws:sqs:{stack.region}:000000000000:{queue.rpartition('/')[2]}"
    with strict.limits(settling_seconds=0.5):
        created = functions.create_event_source_mapping(
            FunctionName=stack.functions["push_worker"], EventSourceArn=source, Enabled=False
        )
        uuid = created["UUID"]
        assert created["State"] == "Creating"
        assert refusal(lambda: functions.update_event_source_mapping(UUID=uuid, BatchSize=5)) == (
            "ResourceInUseException"
        )
        assert refusal(lambda: functions.delete_event_source_mapping(UUID=uuid)) == "ResourceInUseException"
        _wait_until(lambda: functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled")
        assert functions.update_event_source_mapping(UUID=uuid, BatchSize=5)["State"] == "Updating"
        listed = functions.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
        assert [mapping["State"] for mapping in listed] == ["Updating"]
        _wait_until(lambda: functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled")
        functions.delete_event_source_mapping(UUID=uuid)


def _wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


# ------------------------------------------------------------ A12: names that are not free yet


def test_name_of_a_deleted_queue_is_not_free_at_once(strict: StrictAws, stack: LocalRun) -> None:
    assert stack
    sqs, name = client("sqs"), f"again-{secrets.token_hex(4)}"
    with strict.limits(queue_name_seconds=0.5):
        sqs.delete_queue(QueueUrl=sqs.create_queue(QueueName=name)["QueueUrl"])
        assert refusal(lambda: sqs.create_queue(QueueName=name)) == "AWS.SimpleQueueService.QueueDeletedRecently"
        _wait_until(lambda: not _refused(lambda: sqs.create_queue(QueueName=name)))


def test_name_of_a_deleted_secret_is_not_free_at_once(strict: StrictAws, stack: LocalRun) -> None:
    assert stack
    manager, name = client("secretsmanager"), f"again/{secrets.token_hex(4)}"

    def create() -> object:
        return manager.create_secret(Name=name, SecretString="s")

    with strict.limits(secret_name_seconds=0.5):
        create()
        manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        with pytest.raises(ClientError, match="already scheduled for deletion"):
            create()
        _wait_until(lambda: not _refused(create))
        manager.delete_secret(SecretId=name)  # with a recovery window of 30 days
        with pytest.raises(ClientError, match="already scheduled for deletion"):
            create()
    with pytest.raises(ClientError, match="already scheduled for deletion"):
        create()


# ------------------------------------------------------------ A3: early validation of change sets


@pytest.mark.parametrize("importing", [False, True])
def test_change_set_that_would_create_an_existing_name_is_refused(
    stack: LocalRun, tables: ScratchTables, *, importing: bool
) -> None:
    assert stack
    cloudformation = client("cloudformation")
    existing = tables.names["versions"]
    template = {
        "Resources": {
            "Versions": {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "Properties": {
                    "TableName": existing,
                    "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "pass_id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "pass_id", "KeyType": "HASH"}],
                },
            }
        }
    }
    names = {"StackName": f"early-{secrets.token_hex(4)}", "ChangeSetName": "first"}
    cloudformation.create_change_set(
        **names, ChangeSetType="CREATE", TemplateBody=json.dumps(template), ImportExistingResources=importing
    )
    described = cloudformation.describe_change_set(**names)
    events = cloudformation.describe_events(**names)["OperationEvents"]
    if importing:
        assert described["Status"] == "CREATE_COMPLETE"
        assert [change["ResourceChange"]["Action"] for change in described["Changes"]] == ["Import"]
        assert events == []
    else:
        assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
        assert "AWS::EarlyValidation::ResourceExistenceCheck" in described["StatusReason"]
        (event,) = events
        assert event["LogicalResourceId"] == "Versions"
        assert existing in event["ValidationStatusReason"]
    cloudformation.delete_stack(StackName=names["StackName"])


# ------------------------------------------------------------ A11, A13, A8: logs, invocations, the API's rate


def test_invocation_of_more_than_six_megabytes_is_refused(stack: LocalRun) -> None:
    payload = json.dumps({"Records": [], "padding": "x" * (6 * 1024 * 1024)})
    call = {"FunctionName": stack.functions["push"], "Payload": payload}
    assert refusal(lambda: client("lambda").invoke(**call)) == "RequestTooLargeException"


def test_logs_are_read_so_many_times_per_second(strict: StrictAws, stack: LocalRun) -> None:
    logs = client("logs")
    group = f"/aws/lambda/{stack.functions['api']}"
    with strict.limits(log_reads_per_second=0.01):
        logs.filter_log_events(logGroupName=group)
        assert refusal(lambda: logs.filter_log_events(logGroupName=group)) == "ThrottlingException"


def listed(stack: LocalRun) -> httpx.Response:
    """The response to a list call of an unknown device, which is 204."""
    return httpx.get(f"{stack.api_url}/v1/devices/unknown/registrations/{stack.pass_type_identifier}", trust_env=False)


def logged(stack: LocalRun) -> httpx.Response:
    return httpx.post(f"{stack.api_url}/v1/log", json={"logs": []}, trust_env=False)


def unknown_download(stack: LocalRun) -> httpx.Response:
    return httpx.get(f"{stack.api_url}/v1/passes/{stack.pass_type_identifier}/unknown", trust_env=False)


@pytest.fixture
def set_rate(stack: LocalRun) -> Iterator[Callable[[str, float, int], None]]:
    """Changes the throttle settings of a method of the stage, and restores them."""
    gateway = client("apigateway")
    api_id = httpx.URL(stack.api_url).path.split("/")[2]
    before = gateway.get_stage(restApiId=api_id, stageName="api")["methodSettings"]

    def change(method: str, rate: float, burst: int) -> None:
        limits = {"rateLimit": str(rate), "burstLimit": str(burst)}
        patch = [
            {"op": "replace", "path": f"/{method}/throttling/{name}", "value": value} for name, value in limits.items()
        ]
        gateway.update_stage(restApiId=api_id, stageName="api", patchOperations=patch)

    yield change
    for method, settings in (("*/*", before["*/*"]), ("~1v1~1log/POST", before["/~1v1~1log/POST"])):
        change(method, settings["throttlingRateLimit"], settings["throttlingBurstLimit"])


def test_api_answers_429_above_the_rate_of_its_stage(
    strict: StrictAws, stack: LocalRun, set_rate: Callable[[str, float, int], None]
) -> None:
    set_rate("*/*", 0.01, 3)
    with strict.limits():
        assert [listed(stack).status_code for _ in range(2)] == [204, 204]
        assert unknown_download(stack).status_code == 401  # methods share the bucket
        refused = listed(stack)
        assert (refused.status_code, refused.json()) == (429, {"message": "Too Many Requests"})
        assert strict.refused()["TooManyRequests"] == 1
    set_rate("*/*", 100, 3)
    assert listed(stack).status_code == 204


def test_bucket_of_a_stage_fills_at_its_rate(stack: LocalRun, set_rate: Callable[[str, float, int], None]) -> None:
    set_rate("*/*", 1, 2)
    started = time.monotonic()
    statuses = []
    while time.monotonic() - started < 4:
        statuses.append(listed(stack).status_code)
    elapsed = time.monotonic() - started
    assert 429 in statuses
    assert elapsed - 1 <= statuses.count(204) <= 2 + elapsed


def test_method_with_a_rate_of_its_own_does_not_use_that_of_the_stage(
    stack: LocalRun, set_rate: Callable[[str, float, int], None]
) -> None:
    set_rate("~1v1~1log/POST", 0.01, 2)
    assert [logged(stack).status_code for _ in range(3)] == [200, 200, 429]
    assert listed(stack).status_code == 204
    set_rate("*/*", 0.01, 1)
    assert [listed(stack).status_code for _ in range(2)] == [204, 429]
    set_rate("~1v1~1log/POST", 0.01, 1)
    assert logged(stack).status_code == 200


def test_stage_has_the_rates_of_the_template(stack: LocalRun) -> None:
    """`make up` is as strict as a stage with the default parameters."""
    api_id = httpx.URL(stack.api_url).path.split("/")[2]
    settings = client("apigateway").get_stage(restApiId=api_id, stageName="api")["methodSettings"]
    parameters = resources()["Parameters"]
    for name, settings_of in (("", "*/*"), ("Log", "/~1v1~1log/POST")):
        rate, burst = (parameters[f"{name}Throttle{kind}"]["Default"] for kind in ("Rate", "Burst"))
        found = settings[settings_of]
        assert (found["throttlingRateLimit"], found["throttlingBurstLimit"]) == (rate, burst)


def test_api_answers_429_above_the_rate_of_the_account(strict: StrictAws, stack: LocalRun) -> None:
    with strict.limits(account_rate=0.01, account_burst=2):
        assert [listed(stack).status_code for _ in range(2)] == [204, 204]
        assert logged(stack).status_code == 429
    assert listed(stack).status_code == 204
