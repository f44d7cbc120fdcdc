"""Runs the pipelines in the README and in the guide from their text, until a phone shows the change."""

import io
import json
import os
import re
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pandas as pd
import pytest
from botocore import xform_name

from chalicelib.core.identifiers import PassId
from infra.deploy.resources import RESOURCES
from infra.local.phone import Phone
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually

BLOCK = re.compile(r"<!-- pipeline: (\w+) -->\n```\w+\n(.*?)```", re.DOTALL)
PAGES = ("README.md", "docs/guides/pipelines.md")
BLOCKS: dict[str, str] = dict(block for page in PAGES for block in BLOCK.findall((PROJECT / page).read_text()))
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Story:
    """A phone with a pass for gate A7, and a pipeline of the documentation that changes the pass."""

    def __init__(self, stack: LocalRun, phone: Phone, apns: Apns, pass_id: PassId) -> None:
        self._stack, self._phone, self._apns = stack, phone, apns
        self._push_count = 0
        self.pass_id = pass_id

    def code(self, name: str) -> str:
        """Return a code block of the documentation with the names of this stage."""
        return (
            BLOCKS[name]
            .replace("passwire-dev-passes", self._stack.tables["passes"])
            .replace("pass.com.acme.boarding", self._stack.pass_type_identifier)
            .replace("7K2M9Q", self.pass_id.serial_number)
        )

    def runs(self, name: str) -> dict[str, Any]:
        """Run a block of Python; return its global names."""
        defined: dict[str, Any] = {}
        exec(compile(self.code(name), f"documentation, pipeline {name}", "exec"), defined)  # noqa: S102 - code of this repository
        return defined

    def writes(self, *, gate: str) -> None:
        """Change one field of the item, whose fields may be a map or flat attributes."""
        table = boto3.resource("dynamodb").Table(self._stack.tables["passes"])
        item = table.get_item(Key={"pass_id": str(self.pass_id)})["Item"]
        changed = {"fields.gate": gate} if "fields.gate" in item else {"fields": {**item["fields"], "gate": gate}}
        table.put_item(Item={**item, **changed})

    def installed(self) -> dict[str, Any]:
        """Return the pass.json on the phone."""
        return self._phone.passes[self._stack.pass_type_identifier, self.pass_id.serial_number].content

    def sees(self, message: str) -> None:
        """Check that the phone receives exactly one push since the last call, and shows the message.

        An unexpected push of an earlier write is found here, since it comes first.
        """
        self._push_count += 1
        eventually(lambda: len(self._apns.pushes_to(self._phone)) >= self._push_count, "the push")
        assert self._phone.receives_push(self._stack.pass_type_identifier) == [message]
        assert len(self._apns.pushes_to(self._phone)) == self._push_count


@pytest.fixture
def story(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, serial_number: str
) -> Iterator[Story]:
    os.environ["PASSWIRE_PASSES_TABLE"] = stack.tables["passes"]
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    issuer.hands(pass_id, phone)
    yield Story(stack, phone, apns, pass_id)
    pipeline.deletes(pass_id)


@pytest.mark.parametrize("name", ["readme", "boto3"])
def test_put_item(name: str, story: Story, pipeline: Pipeline) -> None:
    """The same content written twice sends one push. The next push is for the next change."""
    story.runs(name)
    story.sees("Gate changed to B22")
    story.runs(name)
    pipeline.writes(story.pass_id.serial_number, fields={"gate": "C1"})
    story.sees("Gate changed to C1")


def test_aws_command_line(story: Story) -> None:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", story.code("cli")],
        env={**os.environ, "PATH": tools},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    story.sees("Gate changed to B22")


@pytest.fixture
def fed_by_a_queue(story: Story, stack: LocalRun) -> Iterator[str]:
    """Deploy the Lambda function of the guide; provide the URL of its queue."""
    archive_bytes = io.BytesIO()
    with zipfile.ZipFile(archive_bytes, "w") as archive:
        archive.writestr("pipeline.py", story.code("lambda"))
    name = f"pipeline-{secrets.token_hex(4)}"
    functions, sqs = boto3.client("lambda"), boto3.client("sqs")
    functions.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role="arn:aws:iam::000000000000:role/pipeline",
        Handler="pipeline.handler",
        Code={"ZipFile": archive_bytes.getvalue()},
        Environment={"Variables": {"PASSES_TABLE": stack.tables["passes"]}},
        Timeout=20,
    )
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    mapping = functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name, BatchSize=10)["UUID"]
    yield url
    # Lambda refuses to delete a mapping that is still being created.
    eventually(lambda: functions.get_event_source_mapping(UUID=mapping)["State"] == "Enabled", "the mapping")
    functions.delete_event_source_mapping(UUID=mapping)
    functions.delete_function(FunctionName=name)
    sqs.delete_queue(QueueUrl=url)


def test_lambda_function_with_a_queue(story: Story, fed_by_a_queue: str) -> None:
    """A message that is delivered twice causes one push."""

    def send(gate: str) -> None:
        ticket = {"number": story.pass_id.serial_number, "gate": gate, "seat": "-"}
        boto3.client("sqs").send_message(QueueUrl=fed_by_a_queue, MessageBody=json.dumps(ticket))

    send("B22")
    story.sees("Gate changed to B22")
    send("B22")
    send("C1")
    story.sees("Gate changed to C1")


def test_pandas(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"number": [story.pass_id.serial_number], "gate": ["B22"], "seat": ["-"]})
    frame.to_parquet("tickets.parquet")
    story.runs("pandas")
    story.sees("Gate changed to B22")


def test_conditional_update(story: Story) -> None:
    """A message that is older than the item changes nothing and causes no push."""
    gate_changed = story.runs("conditional")["gate_changed"]
    number = story.pass_id.serial_number
    assert gate_changed(number, "B22", 2)
    story.sees("Gate changed to B22")
    assert not gate_changed(number, "A1", 1)
    assert not gate_changed(f"{number}-missing", "A1", 1)
    assert gate_changed(number, "C1", 3)
    story.sees("Gate changed to C1")


def test_ttl(story: Story, stack: LocalRun, pipeline: Pipeline) -> None:
    """Setting it causes no push. The embedded AWS expires items without a stream record, so the item is deleted."""
    story.runs("ttl")
    passes = json.loads(RESOURCES.read_text())["Resources"]["PassesTable"]["Properties"]
    assert passes["TimeToLiveSpecification"] == {"AttributeName": "delete_after", "Enabled": True}
    key = {"pass_id": str(story.pass_id)}
    pipeline.table.update_item(
        Key=key,
        UpdateExpression="SET #fields.gate = :gate",
        ExpressionAttributeNames={"#fields": "fields"},
        ExpressionAttributeValues={":gate": "B1"},
    )
    story.sees("Gate changed to B1")
    assert pipeline.table.get_item(Key=key)["Item"]["delete_after"] > 0
    pipeline.deletes(story.pass_id)
    versions = boto3.resource("dynamodb").Table(stack.tables["versions"])
    eventually(lambda: versions.get_item(Key=key, ConsistentRead=True)["Item"].get("deleted"), "the deletion")


def test_step_functions(story: Story) -> None:
    """Run the state machine twice: for the pass, and for a pass that does not exist, which the condition refuses."""
    client = boto3.client("stepfunctions")
    machine = client.create_state_machine(
        name=f"gate-{secrets.token_hex(4)}",
        definition=story.code("stepfunctions"),
        roleArn="arn:aws:iam::000000000000:role/machine",
    )["stateMachineArn"]

    def run(number: str) -> str:
        started = client.start_execution(stateMachineArn=machine, input=json.dumps({"number": number, "gate": "B22"}))

        def ended() -> str | None:
            status: str = client.describe_execution(executionArn=started["executionArn"])["status"]
            return None if status == "RUNNING" else status

        return str(eventually(ended, "the end of the execution"))

    try:
        assert run(story.pass_id.serial_number) == "SUCCEEDED"
        story.sees("Gate changed to B22")
        assert run(f"{story.pass_id.serial_number}-missing") == "FAILED"
    finally:
        client.delete_state_machine(stateMachineArn=machine)


def test_scheduler(story: Story) -> None:
    """The embedded AWS stores the schedule; its call is made here, as Scheduler's guide describes universal targets."""
    story.runs("scheduler")
    client, name = boto3.client("scheduler"), f"boarding-{story.pass_id.serial_number}"
    target = client.get_schedule(Name=name)["Target"]
    client.delete_schedule(Name=name)
    *_, sdk, service, action = target["Arn"].split(":")
    assert (sdk, service, action) == ("aws-sdk", "dynamodb", "updateItem")
    called = boto3.client(service)
    getattr(called, xform_name(action))(**json.loads(target["Input"]))
    story.sees("Gate changed to B22")


@pytest.mark.parametrize("name", ["kafka", "glue"])
def test_item_of_a_connector(name: str, story: Story, stack: LocalRun) -> None:
    """The connectors cannot run here, so the test writes their item; writing it again sends no push."""
    item = json.loads(story.code(name))
    client = boto3.client("dynamodb")
    client.put_item(TableName=stack.tables["passes"], Item=item)
    story.sees("Gate changed to B22")
    client.put_item(TableName=stack.tables["passes"], Item=item)
    story.writes(gate="C1")
    story.sees("Gate changed to C1")
    assert story.installed()["maxDistance"] == 100


class DynamoDBHook:
    """The calls of Airflow's hook, too large to install (apache-airflow-providers-amazon, hooks/dynamodb.py)."""

    def __init__(self, *, table_name: str, table_keys: list[str]) -> None:
        self._table, self._keys = boto3.resource("dynamodb").Table(table_name), table_keys

    def write_batch_data(self, items: list[dict[str, Any]]) -> bool:
        with self._table.batch_writer(overwrite_by_pkeys=self._keys) as batch:
            for item in items:
                batch.put_item(Item=item)
        return True


def test_airflow(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("airflow.providers.amazon.aws.hooks.dynamodb")
    module.DynamoDBHook = DynamoDBHook  # type: ignore[attr-defined]  # the module's own name
    for depth in range(1, module.__name__.count(".") + 1):
        package = ".".join(module.__name__.split(".")[:depth])
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    story.runs("airflow")
    story.sees("Gate changed to B22")


def test_every_block_of_the_documentation_is_tested() -> None:
    connectors = {"stepfunctions", "scheduler", "kafka", "glue", "airflow"}
    assert set(BLOCKS) == {"readme", "boto3", "cli", "lambda", "pandas", "conditional", "ttl", *connectors}
