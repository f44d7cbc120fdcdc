"""Tests of images of single passes on a deployed stage: upload, reference, import and display on the phone."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner

from infra.commands import app
from infra.local.phone import InstalledPass, Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support import samples
from tests.support.eventually import Apns, eventually

ADA, GRACE = samples.png(180, 180, seed=1), samples.png(180, 180, seed=2)


def run(stack: LocalRun, *arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments), "--stage", stack.stage], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def image_of(installed: InstalledPass, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(installed.archive)) as archive:
        return archive.read(name)


def test_image_of_a_pass_is_on_the_phone_and_a_new_one_is_an_update(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns, serial_number: str, tmp_path: Path
) -> None:
    keys = []
    for name, data in (("ada", ADA), ("grace", GRACE)):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "strip@2x.png"
        path.write_bytes(data)
        keys.append(run(stack, "image", "put", path).strip())
    standard = CliRunner().invoke(app, ["image", "put", "-", "--stage", stack.stage], input=ADA)
    assert standard.stdout.strip() == keys[0]
    assert keys == [hashlib.sha256(data).hexdigest() for data in (ADA, GRACE)]
    pass_id = pipeline.writes(serial_number, images={"logo": keys[0]})
    phone.adds(issuer.issues(pass_id).content)
    key = (pipeline.pass_type_identifier, serial_number)
    assert image_of(phone.passes[key], "logo@2x.png") == ADA
    pipeline.writes(serial_number, images={"logo": keys[1]})
    eventually(lambda: apns.pushes_to(phone), "the push")
    phone.receives_push(pipeline.pass_type_identifier)
    assert image_of(phone.passes[key], "logo@2x.png") == GRACE
    with zipfile.ZipFile(io.BytesIO(phone.passes[key].archive)) as archive:
        assert {name for name in archive.namelist() if "logo" in name} == {"logo@2x.png"}


def test_item_with_a_missing_image_is_refused(stack: LocalRun, pipeline: Pipeline, serial_number: str) -> None:
    missing = hashlib.sha256(serial_number.encode()).hexdigest()
    pipeline.writes(serial_number, images={"logo": missing})

    def refusal() -> bool:
        received = boto3.client("sqs").receive_message(QueueUrl=stack.queues["dead_letter"], MaxNumberOfMessages=10)
        return any(missing in message["Body"] for message in received.get("Messages", []))

    assert eventually(refusal, "the refusal in the dead-letter queue")


def test_import_uploads_the_files_that_rows_name(stack: LocalRun, serial_number: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "ada.png").write_bytes(ADA)
    (tmp_path / "photos" / "broken.png").write_bytes(ADA[:40])
    table = tmp_path / "members.csv"
    table.write_text(
        "serial_number,images.logo\n"
        f"{serial_number}-1,photos/ada.png\n"
        f"{serial_number}-2,{hashlib.sha256(ADA).hexdigest()}\n"
        f"{serial_number}-3,photos/missing.png\n"
        f"{serial_number}-4,photos/broken.png\n"
        f"{serial_number}-5,\n"
    )
    done = CliRunner().invoke(
        app,
        [
            *("pass", "import", str(table), "--type", stack.pass_type_identifier, "--template", stack.template),
            *("--stage", stack.stage, "--json"),
        ],
    )
    assert json.loads(done.stdout)["written"] == 3
    rejected = (tmp_path / "members.rejected.csv").read_text()
    assert "photos/missing.png: cannot be read" in rejected
    assert "photos/broken.png: is a damaged PNG" in rejected
    passes = boto3.resource("dynamodb").Table(stack.tables["passes"])
    for number in (1, 2):
        key = {"pass_id": f"{stack.pass_type_identifier}/{serial_number}-{number}"}
        stored = passes.get_item(Key=key, ConsistentRead=True)["Item"]
        assert stored["images"] == {"logo": hashlib.sha256(ADA).hexdigest()}


def test_file_that_is_not_a_png_is_not_uploaded(stack: LocalRun, tmp_path: Path) -> None:
    path = tmp_path / "thumbnail@2x.png"
    path.write_bytes(b"GIF89a")
    done = CliRunner().invoke(app, ["image", "put", str(path), "--stage", stack.stage])
    assert "is not a PNG" in str(done.exception)
    with pytest.raises(boto3.client("s3").exceptions.ClientError):
        boto3.client("s3").head_object(
            Bucket=stack.templates_bucket, Key=f"images/{hashlib.sha256(b'GIF89a').hexdigest()}"
        )
