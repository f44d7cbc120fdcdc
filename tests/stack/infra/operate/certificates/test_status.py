"""Tests of `cert status`: what it finds, and its errors."""

import json
import os
from dataclasses import replace
from datetime import timedelta

import boto3
import pytest
from typer.testing import CliRunner

from infra.commands import app
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.stack.infra.operate.certificates.cert_commands import (
    PASS_TYPE,
    TEAM,
    CertCommands,
)
from tests.support.aws_stand_in import answering
from tests.support.command_line import infra
from tests.support.second_stage import STAGE, SecondStage


def test_status_ends_with_an_exit_code_for_ci(cert: CertCommands) -> None:
    assert "has no certificate" in cert.error_of("status")
    cert.import_issued(lifetime=timedelta(days=40, hours=2))
    assert cert.run("status").exit_code == 0
    assert cert.run("status", PASS_TYPE, "--days", 39).exit_code == 0
    assert cert.run("status", "--days", 40).exit_code == 1
    unknown = cert.run("status", PASS_TYPE, "pass.dev.unknown")
    assert unknown.exit_code == 1
    assert "unusable: " in unknown.stdout
    assert "pass.dev.unknown is missing" in unknown.stdout
    shown = cert.run("status").stdout
    for word in (PASS_TYPE, TEAM, "40", "certificate", "intermediate"):
        assert word in shown


def test_secret_of_another_pass_type_is_unusable(cert: CertCommands) -> None:
    cert.import_issued()
    (content,) = cert.stored().values()
    boto3.client("secretsmanager").create_secret(
        Name=f"passwire/{cert.stage}/pass-types/pass.dev.other", SecretString=content
    )
    unusable = cert.run("status", "pass.dev.other")
    assert (unusable.exit_code, "its certificate belongs to pass type" in unusable.stdout) == (1, True)


def test_aws_errors_are_explained_in_one_sentence(stack: LocalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack
    denied = {
        "__type": "AccessDeniedException",
        "Message": "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: secretsmanager:ListSecrets",
    }
    with answering(json.dumps(denied), status=400):
        refused = infra("cert", "status")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "these credentials do not allow secretsmanager:ListSecrets" in refused.stderr
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    unknown = infra("cert", "status")
    assert (unknown.returncode, "no AWS credentials" in unknown.stderr) == (1, True), unknown.stderr
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    nowhere = infra("cert", "status")
    assert (nowhere.returncode, "no AWS region" in nowhere.stderr) == (1, True), nowhere.stderr


@pytest.mark.timeout(400)
def test_passes_that_need_an_nfc_certificate_are_listed(cert: CertCommands, second_stage: SecondStage) -> None:
    """The stage's own pass type has an NFC certificate, as that of the local run; the other one has an ordinary one."""
    rewards = PROJECT / "chalicelib/templates/rewards.pass"
    own = replace(cert, stage=STAGE)
    table = boto3.resource("dynamodb").Table(second_stage.stage.table("passes"))
    key = {"pass_id": f"{PASS_TYPE}/NFC-1"}

    def check() -> list[dict[str, str]]:
        done = CliRunner().invoke(app, ["template", "check", str(rewards), "--stage", STAGE, "--json"])
        ((_, findings),) = json.loads(done.stdout).items()
        return [finding for finding in findings if "NFC certificate" in finding["problem"]]

    assert check() == []
    own.import_issued()
    try:
        (finding,) = check()
        assert (finding["severity"], finding["path"]) == ("warning", "nfc")
        assert PASS_TYPE in finding["problem"]
        (row,) = own.run_json("status", PASS_TYPE)
        assert (row["nfc"], row["refused"]) == (False, [])
        table.put_item(Item={**key, "template": "rewards"})
        done = own.run("status", PASS_TYPE)
        assert done.exit_code == 1
        assert f"refused by phones: pass type {PASS_TYPE}: phones refuse pass {PASS_TYPE}/NFC-1" in done.stdout
        own.run_json("rotate", PASS_TYPE, own.cer(own.issued(nfc=True)))
        (row,) = own.run_json("status", PASS_TYPE)
        assert (row["nfc"], row["refused"]) == (True, [])
        assert check() == []
    finally:
        table.delete_item(Key=key)
        boto3.client("secretsmanager").delete_secret(
            SecretId=f"passwire/{STAGE}/pass-types/{PASS_TYPE}", ForceDeleteWithoutRecovery=True
        )
