"""The recovery drills of `docs/operations/recovery.md`: the documented commands, and no update is lost."""

import json
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from typer.testing import CliRunner, Result

from chalicelib.core.identifiers import PassId
from chalicelib.core.secret_forms import SecretNames
from infra.commands import app
from infra.local.aws_faults import CONTROL_PATH
from infra.local.phone import Phone, PhoneError
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.second_stage import STAGE, SecondStage

pytestmark = pytest.mark.timeout(400)
"""The first test starts two stages, which takes minutes on a busy machine."""
LONG_AGO_SECONDS = 3600
Item = dict[str, Any]


def infra(*arguments: object, stage: str = STAGE) -> Result:
    done = CliRunner().invoke(app, [*map(str, arguments), "--stage", stage])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def local(second_stage: SecondStage) -> LocalRun:
    return second_stage.local


@pytest.fixture
def pipeline(local: LocalRun) -> Pipeline:
    return Pipeline.of(local)


def gate(phone: Phone) -> str:
    (installed,) = phone.passes.values()
    return str(installed.fields()["gate"]["value"])


def updates_to(value: str, phone: Phone, apns: Apns, *, after: int) -> None:
    """Wait for a push after the first `after`, and have the phone update until it shows a value."""
    eventually(lambda: len(apns.pushes_to(phone)) > after, f"the push of {value}")

    def shows() -> bool:
        phone.receives_push(next(iter(phone.passes))[0])
        return gate(phone) == value

    eventually(shows, f"the phone shows {value}")


def knows_everything(local: LocalRun, phone: Phone, pass_id: PassId) -> None:
    """Give a phone a tag as if it had registered long ago and listed a minute ago."""
    boto3.resource("dynamodb").Table(local.tables["registrations"]).update_item(
        Key={"pass_id": str(pass_id), "device_library_identifier": phone.device_library_identifier},
        UpdateExpression="SET registered_at = :at",
        ExpressionAttributeValues={":at": int(time.time()) - LONG_AGO_SECONDS},
    )
    phone.tags[pass_id.pass_type_identifier] = str(int(time.time()) - 60)


def test_lost_versions_are_made_again(
    local: LocalRun, pipeline: Pipeline, phone: Phone, apns: Apns, serial_number: str
) -> None:
    """The phone was off for a change before the loss, which nothing remembers but the item."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    Issuer(local).hands(pass_id, phone)
    knows_everything(local, phone, pass_id)
    pipeline.writes(serial_number, fields={"gate": "B2"})
    eventually(lambda: len(apns.pushes_to(phone)) == 1, "the push")
    versions = boto3.resource("dynamodb").Table(local.tables["versions"])
    lost = versions.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True)["Item"]["modified_at"]
    for row in versions.scan(ConsistentRead=True)["Items"]:
        versions.delete_item(Key={"pass_id": row["pass_id"]})
    eventually(lambda: time.time() >= int(lost) + 1, "a later second than that of the lost version")
    assert phone.asks_what_changed(pass_id.pass_type_identifier) == []

    done = infra("push", "send", "--lost-versions", "--yes", "--json")
    assert json.loads(done.stdout)["passes"] >= 1
    updates_to("B2", phone, apns, after=1)
    assert versions.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True)["Item"]["revision"] == 2
    assert json.loads(infra("push", "send", "--lost-versions", "--yes", "--json").stdout)["passes"] == 0

    pipeline.writes(serial_number, fields={"gate": "C3"})
    updates_to("C3", phone, apns, after=2)
    pipeline.deletes(pass_id)


class DeletedTable:
    """The registrations table, while it is deleted and after AWS has restored it from a backup."""

    def __init__(self, local: LocalRun) -> None:
        self._client = boto3.client("dynamodb")
        self._name = local.tables["registrations"]
        self._function = local.functions["publish_events"]
        self._described = self._client.describe_table(TableName=self._name)["Table"]

    def delete(self) -> None:
        self._client.update_table(TableName=self._name, DeletionProtectionEnabled=False)
        self._client.delete_table(TableName=self._name)

    def create_empty(self) -> None:
        """Create the table as RestoreTableFromBackup does: without stream."""
        names = ("TableName", "AttributeDefinitions", "KeySchema")
        self._client.create_table(
            **{name: self._described[name] for name in names},
            BillingMode="PAY_PER_REQUEST",
            DeletionProtectionEnabled=True,
        )

    def connect(self) -> None:
        """Switch the stream on and have the events' function read it, as the documentation says."""
        self._client.update_table(
            TableName=self._name,
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        stream = self._client.describe_table(TableName=self._name)["Table"]["LatestStreamArn"]
        lambdas = boto3.client("lambda")
        mappings = lambdas.list_event_source_mappings(FunctionName=self._function)["EventSourceMappings"]
        (old,) = (mapping for mapping in mappings if f":table/{self._name}/" in mapping["EventSourceArn"])
        lambdas.create_event_source_mapping(
            FunctionName=self._function,
            EventSourceArn=stream,
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        lambdas.delete_event_source_mapping(UUID=old["UUID"])


@pytest.fixture
def table(local: LocalRun) -> DeletedTable:
    return DeletedTable(local)


def test_deleted_registrations_table_is_restored_from_a_backup(
    local: LocalRun,
    pipeline: Pipeline,
    phone: Phone,
    apns: Apns,
    serial_number: str,
    table: DeletedTable,
    tmp_path: Path,
) -> None:
    """A pass changes while the table is away: the change waits, and its phone is notified after the restore."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    Issuer(local).hands(pass_id, phone)
    knows_everything(local, phone, pass_id)
    infra("backup", "--to", tmp_path / "backup.jsonl.gz")

    table.delete()
    pipeline.writes(serial_number, fields={"gate": "B2"})
    with pytest.raises(PhoneError, match="50"):
        phone.registers(next(iter(phone.passes.values())))
    assert apns.pushes_to(phone) == []
    table.create_empty()
    infra("restore", "--from", tmp_path / "backup.jsonl.gz", "--yes")
    table.connect()
    # the restore also restored the item as it was; the pipeline's write comes again
    pipeline.writes(serial_number, fields={"gate": "B2"})
    updates_to("B2", phone, apns, after=0)
    before = len(apns.pushes_to(phone))
    pipeline.writes(serial_number, fields={"gate": "C3"})
    updates_to("C3", phone, apns, after=before)
    pipeline.deletes(pass_id)


def test_new_stage_takes_over_from_a_backup_while_phones_continue(
    stack: LocalRun, local: LocalRun, phone: Phone, apns: Apns, serial_number: str, tmp_path: Path
) -> None:
    """The phone continues with the old stage until the domain names the new one; its tags and tokens stay valid."""
    old = Pipeline(boto3.resource("dynamodb").Table(stack.tables["passes"]), stack.template, stack.pass_type_identifier)
    new = Pipeline(boto3.resource("dynamodb").Table(local.tables["passes"]), local.template, local.pass_type_identifier)
    pass_id = old.writes(serial_number, fields={"gate": "A1"})
    Issuer(stack).hands(pass_id, phone)
    secrets = boto3.client("secretsmanager")
    names = [SecretNames(stage).authentication_keys for stage in (stack.stage, STAGE)]
    keys = [secrets.get_secret_value(SecretId=name)["SecretString"] for name in names]

    infra("backup", "--to", tmp_path / "backup.jsonl.gz", stage=stack.stage)
    old.writes(serial_number, fields={"gate": "B2"})
    updates_to("B2", phone, apns, after=0)
    try:
        secrets.put_secret_value(SecretId=names[1], SecretString=keys[0])
        starts_new_environments(stack)
        infra("restore", "--from", tmp_path / "backup.jsonl.gz", "--yes")
        moves(phone, local)  # the domain names the new stage
        new.writes(serial_number, fields={"gate": "B2"})  # what changed since the backup is written again
        updates_to("B2", phone, apns, after=1)
        before = len(apns.pushes_to(phone))
        new.writes(serial_number, fields={"gate": "C3"})
        updates_to("C3", phone, apns, after=before)
    finally:
        secrets.put_secret_value(SecretId=names[1], SecretString=keys[1])
        starts_new_environments(stack)
        for pipeline in (old, new):
            pipeline.deletes(pass_id)


def moves(phone: Phone, local: LocalRun) -> None:
    """Have the address in the phone's passes lead to another stage, as a domain does."""
    for installed in phone.passes.values():
        installed.content["webServiceURL"] = local.api_url


def starts_new_environments(stack: LocalRun) -> None:
    """End all execution environments, which cache secrets for minutes."""
    httpx.put(
        stack.aws_endpoint_url + CONTROL_PATH, json={"new_environments": True}, trust_env=False
    ).raise_for_status()
