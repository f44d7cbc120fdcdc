"""The embedded AWS fails as its faults say, and delivers again what a function names as failed."""

import contextlib
import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from infra.local.aws_faults import CONTROL_PATH
from infra.local.phone import Phone, PhoneError
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually

RECORDER = """
import json, os
def handler(event, context):
    keys = [record["dynamodb"]["Keys"]["k"]["S"] for record in event["Records"]]
    with open(os.environ["RECORDED"], "a+") as recorded:
        recorded.seek(0)
        first = "bad" not in recorded.read()
        recorded.write(json.dumps(keys) + "\\n")
    numbers = [r["dynamodb"]["SequenceNumber"] for r, k in zip(event["Records"], keys) if k == "bad" and first]
    return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}
"""

SLOW = """
import os, time
def handler(event, context):
    with open(os.environ["RECORDED"], "a") as recorded:
        recorded.writelines(record["body"] + "\\n" for record in event["Records"])
    time.sleep(2.5)
"""

FRAGILE = """
import os, time
if os.path.exists(os.environ["RECORDED"] + ".fails"):
    os._exit(1)
def handler(event, context):
    open(os.environ["RECORDED"], "a").write("begun")
    time.sleep(2)
    return "done"
"""


class FaultyAws:
    """The faults of the local run's AWS."""

    def __init__(self, stack: LocalRun) -> None:
        self._url = stack.aws_endpoint_url + CONTROL_PATH

    def injected(self) -> dict[str, int]:
        found: dict[str, int] = httpx.get(self._url, trust_env=False).json()["injected"]
        return found

    @contextlib.contextmanager
    def suffers(self, **faults: object) -> Iterator[None]:
        httpx.put(self._url, json=faults, trust_env=False).raise_for_status()
        try:
            yield
        finally:
            httpx.delete(self._url, trust_env=False).raise_for_status()


@pytest.fixture
def aws(stack: LocalRun) -> FaultyAws:
    return FaultyAws(stack)


@pytest.fixture
def recorded(stack: LocalRun, tmp_path: Path) -> Iterator[Path]:
    """A file in which a function of its own records the batches of a table's stream; it fails `bad` once."""
    assert stack
    name, path = f"recorder-{secrets.token_hex(4)}", tmp_path / "recorded"
    path.touch()
    dynamodb, lambdas = boto3.client("dynamodb"), boto3.client("lambda")
    table = dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]
    create_function(name, RECORDER, path)
    dynamodb.transact_write_items(
        TransactItems=[{"Put": {"TableName": name, "Item": {"k": {"S": key}}}} for key in ("first", "bad", "last")]
    )
    mapping = lambdas.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=table["LatestStreamArn"],
        StartingPosition="TRIM_HORIZON",
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    yield path
    eventually(lambda: deleted(lambdas, mapping["UUID"]), "the end of the mapping")
    lambdas.delete_function(FunctionName=name)
    dynamodb.delete_table(TableName=name)


def create_function(name: str, source: str, recorded: Path) -> None:
    """Create a function that writes to a file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as members:
        members.writestr("recorder.py", source)
    boto3.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/recorder",
        Handler="recorder.handler",
        Code={"ZipFile": packed.getvalue()},
        Environment={"Variables": {"RECORDED": str(recorded)}},
    )


@pytest.fixture
def slow_queue(stack: LocalRun, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A queue whose function takes some seconds per batch, and the file in which that records what it gets."""
    assert stack
    name, path = f"slow-{secrets.token_hex(4)}", tmp_path / "recorded"
    path.touch()
    sqs, lambdas = boto3.client("sqs"), boto3.client("lambda")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    create_function(name, SLOW, path)
    mapping = lambdas.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)
    yield url, path
    eventually(lambda: deleted(lambdas, mapping["UUID"]), "the end of the mapping")
    lambdas.delete_function(FunctionName=name)
    sqs.delete_queue(QueueUrl=url)


def deleted(lambdas: Any, uuid: str) -> bool:  # noqa: ANN401 - boto3's
    """Delete a mapping once it has settled."""
    try:
        lambdas.delete_event_source_mapping(UUID=uuid)
    except lambdas.exceptions.ResourceInUseException:
        return False
    return True


def test_stream_batch_continues_at_the_record_that_failed(recorded: Path) -> None:
    def batches() -> list[list[str]]:
        return [json.loads(line) for line in recorded.read_text().splitlines()]

    eventually(lambda: len(batches()) == 2, "the second delivery")
    assert batches() == [["first", "bad", "last"], ["bad", "last"]]


def test_message_stays_hidden_while_a_function_processes_it(aws: FaultyAws, slow_queue: tuple[str, Path]) -> None:
    """Otherwise the limit of waits would have each message processed many times on a slow machine."""
    url, recorded = slow_queue
    sqs = boto3.client("sqs")

    def left() -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    with aws.suffers(message_wait_seconds=0.2):
        sqs.send_message(QueueUrl=url, MessageBody="once")
        eventually(lambda: not left(), "the end of the message")
    assert recorded.read_text() == "once\n"


@pytest.fixture
def fragile(stack: LocalRun, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A function that takes two seconds, and the file that it writes; beside `recorded.fails` it does not start."""
    assert stack
    name, path = f"fragile-{secrets.token_hex(4)}", tmp_path / "recorded"
    create_function(name, FRAGILE, path)
    yield name, path
    boto3.client("lambda").delete_function(FunctionName=name)


def test_environment_that_does_not_start_ends_alone(fragile: tuple[str, Path]) -> None:
    name, path = fragile

    def called() -> dict[str, Any]:
        answer: dict[str, Any] = boto3.client("lambda").invoke(FunctionName=name)
        return {"error": answer.get("FunctionError"), "result": json.loads(answer["Payload"].read())}

    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(called)
        eventually(path.exists, "the first invocation")
        path.with_name("recorded.fails").touch()
        assert called()["error"]
        assert running.result() == {"error": None, "result": "done"}


def test_requests_of_functions_fail_and_those_of_others_do_not(
    aws: FaultyAws, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, serial_number: str
) -> None:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    phone.adds(issuer.issues(pass_id).content)
    with aws.suffers(dynamodb_fails=1):
        pipeline.writes(serial_number, fields={"gate": "B22"})
        with pytest.raises(PhoneError, match="got 50"):
            phone.asks_what_changed(pipeline.pass_type_identifier)
        assert aws.injected()["DynamoDB fails"] > 0
        assert not apns.pushes_to(phone)
    eventually(lambda: apns.pushes_to(phone), "the push after the fault")
    eventually(lambda: phone.receives_push(pipeline.pass_type_identifier), "the change")
    pipeline.deletes(pass_id)


def test_killed_function_is_called_again(
    aws: FaultyAws, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, serial_number: str
) -> None:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    phone.adds(issuer.issues(pass_id).content)
    before = aws.injected().get("function killed", 0)
    with aws.suffers(kills=1):
        pipeline.writes(serial_number, fields={"gate": "B22"})
        eventually(lambda: aws.injected().get("function killed", 0) > before, "the kill")
    eventually(lambda: apns.pushes_to(phone), "the push after the fault")
    pipeline.deletes(pass_id)


def test_unknown_fault_is_refused(stack: LocalRun) -> None:
    answer = httpx.put(stack.aws_endpoint_url + CONTROL_PATH, json={"no_such_fault": 1}, trust_env=False)
    assert answer.status_code == 400
    assert "no_such_fault" in answer.json()["error"]
