"""Tests of `backup` and `restore`: lost data comes back, and no phone wrongly believes that it is up to date."""

import json
import re
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from chalicelib.aws.templates import revision_key
from chalicelib.updates.push_tasks import RemoveRegistrations, encode
from infra.commands import app
from infra.local.phone import Phone
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.backup import file
from infra.operate.backup.stage import BackedUpStage
from infra.operate.templates.bucket import TemplatesBucket
from tests.conftest import Issuer, Pipeline
from tests.support import samples
from tests.support.command_line import COMMAND
from tests.support.eventually import Apns, eventually
from tests.support.second_stage import STAGE, SecondStage

pytestmark = pytest.mark.timeout(400)
"""The first test starts two stages, which takes minutes on a busy machine."""


Item = dict[str, Any]


def infra(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--stage", STAGE])


@pytest.fixture
def local(second_stage: SecondStage) -> LocalRun:
    return second_stage.local


@pytest.fixture
def pipeline(local: LocalRun) -> Pipeline:
    return Pipeline.of(local)


@pytest.fixture
def issuer(local: LocalRun) -> Issuer:
    return Issuer(local)


def rows(local: LocalRun, role: str) -> list[Item]:
    found: list[Item] = boto3.resource("dynamodb").Table(local.tables[role]).scan(ConsistentRead=True)["Items"]
    return found


def wipe(local: LocalRun, role: str) -> None:
    table = boto3.resource("dynamodb").Table(local.tables[role])
    keys = [key["AttributeName"] for key in table.key_schema]
    with table.batch_writer() as batch:
        for row in rows(local, role):
            batch.delete_item(Key={key: row[key] for key in keys})


def lose_everything(local: LocalRun) -> None:
    """Delete the passes, wait until the stream has processed that, and delete all other rows."""
    lost = {row["pass_id"] for row in rows(local, "passes")}
    wipe(local, "passes")
    eventually(lambda: lost <= {r["pass_id"] for r in rows(local, "versions") if r.get("deleted")}, "the deletions")
    for role in ("versions", "registrations", "devices"):
        wipe(local, role)


def test_images_of_single_passes_are_backed_up_and_restored(local: LocalRun, tmp_path: Path) -> None:
    bucket, key = boto3.resource("s3").Bucket(local.templates_bucket), f"images/{secrets.token_hex(32)}"
    bucket.put_object(Key=key, Body=b"png")
    path = tmp_path / "backup.jsonl.gz"
    done = infra("backup", "--to", path, "--json")
    assert json.loads(done.stdout)["images"] >= 1
    bucket.Object(key).delete()
    assert infra("restore", "--from", path, "--yes").exit_code == 0
    assert bucket.Object(key).get()["Body"].read() == b"png"
    bucket.Object(key).delete()


def test_restore_writes_lost_data_and_notifies_phones(
    local: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, serial_number: str, tmp_path: Path
) -> None:
    """The phone has seen later content, a later Last-Modified and a later tag than the backup contains."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    issuer.hands(pass_id, phone)
    pipeline.writes(serial_number, fields={"gate": "B2"})
    eventually(lambda: len(apns.pushes_to(phone)) == 1, "the push before the backup")
    phone.receives_push(pipeline.pass_type_identifier)
    path = tmp_path / "backup.jsonl.gz"
    done = infra("backup", "--to", path, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["passes"] == len(rows(local, "passes"))
    assert path.stat().st_mode & 0o777 == 0o600

    pipeline.writes(serial_number, fields={"gate": "C3"})
    eventually(lambda: len(apns.pushes_to(phone)) == 2, "the push after the backup")
    assert phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to C3"]
    lose_everything(local)
    seen = len(apns.pushes_to(phone))

    done = infra("restore", "--from", path, "--yes", "--json")
    assert done.exit_code == 0, done.output
    eventually(lambda: len(apns.pushes_to(phone)) > seen, "the push of the restore")
    eventually(
        lambda: phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to B2"], "the pass as backed up"
    )

    seen = len(apns.pushes_to(phone))
    pipeline.writes(serial_number, fields={"gate": "D4"})
    eventually(lambda: len(apns.pushes_to(phone)) > seen, "the push of a change after the restore")
    eventually(lambda: phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to D4"], "the change")
    pipeline.deletes(pass_id)


def test_registrations_that_are_being_removed_are_restored(
    second_stage: SecondStage,
    pipeline: Pipeline,
    issuer: Issuer,
    phone: Phone,
    apns: Apns,
    serial_number: str,
    tmp_path: Path,
) -> None:
    """The push task that removes them runs during the restore: it finds the pass and keeps its registrations."""
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    issuer.hands(pass_id, phone)
    stage, queue = BackedUpStage(second_stage.stage), second_stage.local.queues["push"]
    stage.back_up(tmp_path / "b.gz", on_progress=lambda *_: None)
    lose_everything(second_stage.local)
    kinds: list[str] = []

    def remove_again(kind: str, _: int) -> None:
        kinds.append(kind)
        boto3.client("sqs").send_message(QueueUrl=queue, MessageBody=encode(RemoveRegistrations(pass_id)))

    stage.restore(tmp_path / "b.gz", on_progress=remove_again)
    assert "registrations" in kinds
    eventually(lambda: apns.pushes_to(phone), "the push of the restore")
    seen = len(apns.pushes_to(phone))
    pipeline.writes(serial_number, fields={"gate": "B2"})
    eventually(lambda: len(apns.pushes_to(phone)) > seen, "the push of a change after the restore")
    eventually(lambda: phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to B2"], "the change")
    pipeline.deletes(pass_id)


def test_restore_keeps_changes_made_since_the_backup(second_stage: SecondStage, tmp_path: Path) -> None:
    """Keeps a later stamp, a newer push token and a later registration; adds the passes of a device row."""
    dynamodb, local = boto3.resource("dynamodb"), second_stage.local
    name = secrets.token_hex(4)
    version = {"pass_id": f"pass.x/{name}", "modified_at": 1000, "revision": 3}
    held = {"pass_id": f"pass.x/{name}", "device_library_identifier": name, "registered_at": 1000}
    device = {"device_library_identifier": name, "push_token": "old", "updated_at": 1, "passes": {f"pass.x/{name}"}}
    before = {"versions": version, "registrations": held, "devices": device}
    since = {
        "versions": {**version, "modified_at": 2000, "revision": 4, "personalized": True},
        "registrations": {**held, "registered_at": 2000},
        "devices": {**device, "push_token": "new", "updated_at": 2, "passes": {"pass.x/other"}},
    }
    stage = BackedUpStage(second_stage.stage)
    for role, item in before.items():
        dynamodb.Table(local.tables[role]).put_item(Item=item)
    stage.back_up(tmp_path / "b.gz", on_progress=lambda *_: None)
    for role, item in since.items():
        dynamodb.Table(local.tables[role]).put_item(Item=item)
    stage.restore(tmp_path / "b.gz", on_progress=lambda *_: None)

    def now(role: str) -> Item:
        return next(row for row in rows(local, role) if name in str(row))

    assert now("versions") == {**since["versions"], "silent": 5}, "the stamp of the restored item is not an event"
    assert now("registrations") == since["registrations"]
    assert now("devices") == {**since["devices"], "passes": {"pass.x/other", f"pass.x/{name}"}}
    wipe(local, "versions")
    stage.restore(tmp_path / "b.gz", on_progress=lambda *_: None, events=True)
    assert "silent" not in now("versions")
    for role in before:
        wipe(local, role)


def test_lost_stamp_is_restored_as_one_that_no_phone_has_seen(second_stage: SecondStage, tmp_path: Path) -> None:
    """The pass may have changed after the backup: after the old stamp, the next could equal one that a phone has."""
    versions = boto3.resource("dynamodb").Table(second_stage.local.tables["versions"])
    version = {"pass_id": f"pass.x/{secrets.token_hex(4)}", "modified_at": 1000, "revision": 3}
    versions.put_item(Item=version)
    stage = BackedUpStage(second_stage.stage)
    stage.back_up(tmp_path / "b.gz", on_progress=lambda *_: None)
    versions.delete_item(Key={"pass_id": version["pass_id"]})
    lost_at = int(time.time())
    stage.restore(tmp_path / "b.gz", on_progress=lambda *_: None)
    restored = versions.get_item(Key={"pass_id": version["pass_id"]}, ConsistentRead=True)["Item"]
    assert restored["modified_at"] >= lost_at
    assert restored["revision"] == version["revision"]
    versions.delete_item(Key={"pass_id": version["pass_id"]})


def test_interrupted_restore_can_be_repeated(second_stage: SecondStage, tmp_path: Path) -> None:
    local = second_stage.local
    dynamodb = boto3.resource("dynamodb")
    version = {"pass_id": f"pass.x/{secrets.token_hex(4)}", "modified_at": 1000, "revision": 3}
    dynamodb.Table(local.tables["versions"]).put_item(Item=version)
    own = {
        "pass_id": f"pass.x/{secrets.token_hex(4)}",
        "template": "boarding",
        "photo": b"\x00\xff",
        "$bytes": {"$bytes": "x"},
    }
    dynamodb.Table(local.tables["passes"]).put_item(Item=own)
    stage = BackedUpStage(second_stage.stage)
    stage.back_up(tmp_path / "b.gz", on_progress=lambda *_: None)
    before = {role: rows(local, role) for role in ("passes", "devices")}
    lose_everything(local)

    def stop(kind: str, _: int) -> None:
        if kind == "versions":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.restore(tmp_path / "b.gz", on_progress=stop)
    assert rows(local, "passes") == []
    stage.restore(tmp_path / "b.gz", on_progress=lambda *_: None)
    for role, expected in before.items():
        assert sorted(map(str, rows(local, role))) == sorted(map(str, expected))
    assert version["pass_id"] in {row["pass_id"] for row in rows(local, "versions")}
    dynamodb.Table(local.tables["passes"]).delete_item(Key={"pass_id": own["pass_id"]})


def test_templates_are_restored(second_stage: SecondStage, tmp_path: Path) -> None:
    bucket = TemplatesBucket(second_stage.stage)
    name = f"t-{secrets.token_hex(4)}"
    bucket.push(name, samples.files_of("generic"), on_progress=lambda _: None)
    stage = BackedUpStage(second_stage.stage)
    assert stage.back_up(tmp_path / "b.gz", on_progress=lambda *_: None).counts["templates"] == 1
    s3 = boto3.client("s3")
    for entry in s3.list_objects_v2(Bucket=second_stage.local.templates_bucket)["Contents"]:
        s3.delete_object(Bucket=second_stage.local.templates_bucket, Key=entry["Key"])
    assert bucket.current(name) is None
    stage.restore(tmp_path / "b.gz", on_progress=lambda *_: None)
    restored = bucket.current(name)
    assert restored is not None
    for entry in s3.list_objects_v2(Bucket=second_stage.local.templates_bucket)["Contents"]:
        s3.delete_object(Bucket=second_stage.local.templates_bucket, Key=entry["Key"])


def test_damaged_template_does_not_keep_passes_from_being_restored(
    second_stage: SecondStage, pipeline: Pipeline, serial_number: str, tmp_path: Path
) -> None:
    """Someone has overwritten an object of the bucket. The passes of the template wait until it is pushed again."""
    local, bucket = second_stage.local, TemplatesBucket(second_stage.stage)
    name, path, files = f"t-{secrets.token_hex(4)}", tmp_path / "b.gz", samples.files_of("generic")
    revision = bucket.push(name, files, on_progress=lambda _: None).revision
    s3, key = boto3.resource("s3").Bucket(local.templates_bucket), revision_key(name, revision)
    s3.Object(key).put(Body=b"no zip")
    pass_id = pipeline.writes(serial_number, fields={"gate": "A1"})
    assert infra("backup", "--to", path).exit_code == 0
    bucket.delete(name)
    pipeline.deletes(pass_id)

    done = infra("restore", "--from", path, "--yes", "--json")
    assert done.exit_code == 1
    (problem,) = json.loads(done.stdout)["not_restored"]
    assert name in problem
    assert problem in " ".join(done.stderr.split())
    assert str(pass_id) in {row["pass_id"] for row in rows(local, "passes")}

    bucket.push(name, files, on_progress=lambda _: None)
    s3.Object(key).put(Body=b"no zip")
    assert bucket.push(name, files, on_progress=lambda _: None).unchanged
    assert bucket.is_intact(name), "a push repairs the stored revision"
    s3.Object(key).delete()
    done = infra("backup", "--to", tmp_path / "other.gz")
    assert done.exit_code == 1
    assert "push the template again" in str(done.exception)
    bucket.push(name, files, on_progress=lambda _: None)
    assert infra("backup", "--to", tmp_path / "other.gz").exit_code == 0
    bucket.delete(name)
    pipeline.deletes(pass_id)


@pytest.mark.usefixtures("second_stage")
def test_backup_in_s3_is_encrypted_by_its_bucket_and_restored() -> None:
    s3, bucket = boto3.client("s3"), f"backups-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [by_default]})
    target = f"s3://{bucket}/dev/today.jsonl.gz"
    assert infra("backup", "--to", target).exit_code == 0
    assert s3.head_object(Bucket=bucket, Key="dev/today.jsonl.gz")["ServerSideEncryption"] == "AES256"
    done = infra("backup", "--to", target)
    assert str(done.exception) == f"{target}: already exists; choose another object"
    assert infra("restore", "--from", target, "--yes").exit_code == 0
    done = infra("restore", "--from", target + "x", "--yes")
    assert str(done.exception) == f"{target}x: no such object"


def test_suffix_selects_tables_restored_to_a_point_in_time(local: LocalRun, tmp_path: Path) -> None:
    dynamodb = boto3.client("dynamodb")
    for name in local.tables.values():
        table = dynamodb.describe_table(TableName=name)["Table"]
        made = {key: table[key] for key in ("AttributeDefinitions", "KeySchema")}
        dynamodb.create_table(TableName=f"{name}-restored", BillingMode="PAY_PER_REQUEST", **made)
    item = {"pass_id": {"S": "pass.x/from-yesterday"}}
    dynamodb.put_item(TableName=local.tables["passes"] + "-restored", Item=item)
    path = tmp_path / "yesterday.gz"
    done = infra("backup", "--suffix", "-restored", "--to", path, "--json")
    assert done.exit_code == 0, done.output
    assert list(file.read(path, "passes")) == [item]
    for name in local.tables.values():
        dynamodb.delete_table(TableName=f"{name}-restored")


def test_dry_run_counts_what_a_restore_would_write_and_notify(
    local: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone, tmp_path: Path
) -> None:
    """Standard output and input carry the backup; the dry run writes nothing."""
    wipe(local, "passes")
    eventually(lambda: not rows(local, "registrations"), "the removal of other tests' registrations")
    pass_ids = [pipeline.writes(f"D-{secrets.token_hex(4)}", fields={"gate": "A1"}) for _ in range(3)]
    issuer.hands(pass_ids[0], phone)
    written = subprocess.check_output([*COMMAND, "backup", "--stage", STAGE, "--to", "-"], cwd=PROJECT)
    path = tmp_path / "b.gz"
    path.write_bytes(written)
    assert file.verify(path).counts["passes"] == 3
    pipeline.writes(pass_ids[0].serial_number, fields={"gate": "B2"})
    pipeline.deletes(pass_ids[1])
    restoring = [*COMMAND, "restore", "--stage", STAGE, "--from", "-", "--dry-run", "--json"]
    plan = json.loads(subprocess.run(restoring, input=written, cwd=PROJECT, capture_output=True, check=True).stdout)
    assert {name: plan[name] for name in ("new", "changed", "unchanged", "devices")} == {
        "new": 1, "changed": 1, "unchanged": 1, "devices": 1,
    }  # fmt: skip
    assert len(rows(local, "passes")) == 2
    done = infra("restore", "--from", path, "--yes", "--json")
    assert json.loads(done.stdout)["changed"]["passes"] == 2
    for pass_id in pass_ids:
        pipeline.deletes(pass_id)


@pytest.mark.usefixtures("second_stage")
def test_impossible_backups_and_restores_are_refused_in_a_sentence(tmp_path: Path) -> None:
    existing = tmp_path / "existing.gz"
    file.write(existing, stage="dev", begun_at="2026-11-25T16:00:00+00:00", items=[])
    done = infra("backup", "--to", existing)
    assert str(done.exception) == f"{existing}: exists; give another name"
    done = infra("restore", "--from", tmp_path / "b.gz", "--yes")
    assert str(done.exception) == f"{tmp_path / 'b.gz'}: no such file"
    assert infra("restore", "--from", existing).exit_code == 2
    assert infra("backup", "--to", "s3://bucket").exit_code == 2
    for arguments in (["backup", "--to"], ["restore", "--yes", "--from"]):
        done = infra(*arguments, "s3://no-such-bucket/b.gz")
        assert str(done.exception) == "s3://no-such-bucket/b.gz: there is no bucket no-such-bucket; create it first"
    done = infra("backup", "--to", tmp_path / "no-such-folder" / "b.gz")
    assert "there is no folder" in str(done.exception)


@pytest.mark.usefixtures("second_stage")
def test_full_disk_is_reported_in_a_sentence(tmp_path: Path) -> None:
    """A file size limit of zero makes every write fail, as a full disk does."""
    command = [*COMMAND, "backup", "--stage", STAGE, "--to", str(tmp_path / "b.gz")]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *command],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: .*cannot be written: File too large; free some space, then run the command again\n", done.stderr
    ), done.stderr
    assert list(tmp_path.iterdir()) == []
