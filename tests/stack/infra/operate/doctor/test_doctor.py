"""Tests of `doctor`: it finds each fault that is caused in a stage, and nothing in a healthy one."""

import json
import time
from pathlib import Path

import boto3
import httpx
import pytest
from typer.testing import CliRunner

from infra.commands import app
from infra.local.run import LocalRun
from infra.operate.doctor.checks import CHECKS
from infra.operate.doctor.checks.web_service import check_download
from infra.operate.doctor.context import DoctorContext
from infra.operate.history import History
from infra.stage.stage import Stage
from tests.stack.infra.operate.doctor.deployment import Break, Deployment, keys
from tests.stack.infra.operate.doctor.faults import FAULTS
from tests.stack.infra.operate.doctor.faults.credentials import changed, secret
from tests.stack.infra.operate.doctor.faults.surroundings import unsubscribed
from tests.support.eventually import eventually
from tests.support.second_stage import STAGE, SecondStage

pytestmark = pytest.mark.timeout(400)
"""The first test starts two stages, which takes minutes on a busy machine."""


@pytest.fixture
def deployed(second_stage: SecondStage) -> Stage:
    return second_stage.stage


@pytest.fixture
def deployment(deployed: Stage, stack: LocalRun, stack_folder: Path, tmp_path: Path) -> Deployment:
    (tmp_path / "certificates").symlink_to(stack_folder / "certificates")
    return Deployment(deployed, stack, tmp_path, seen_stage=deployed)


def test_healthy_stage_has_no_findings(deployment: Deployment) -> None:
    assert deployment.examine() == []


def test_every_check_has_a_fault_to_find() -> None:
    assert {name for name, _, _ in FAULTS.values()} == {check.name for check in CHECKS}


@pytest.mark.parametrize(("name", "fault", "found"), FAULTS.values(), ids=FAULTS)
def test_fault_is_found_with_its_fix(name: str, fault: Break, found: str, deployment: Deployment) -> None:
    with fault(deployment):
        findings = deployment.examine(name)
    matching = [finding for finding in findings if found in finding.found]
    assert matching, findings
    assert all(len(finding.fix) > 3 for finding in findings)


def test_faults_of_these_tests_are_repaired(deployment: Deployment) -> None:
    """Otherwise the tests above would find each other's faults."""
    assert deployment.examine() == []


def test_pass_with_the_url_of_another_stage_is_found(deployment: Deployment) -> None:
    """The pass is served by this stage, whose settings have another URL by the time the doctor compares them."""
    doctor = DoctorContext(deployment.stage)
    pass_id, token = next(doctor.issued_passes)
    path = f"/v1/passes/{pass_id.pass_type_identifier}/{pass_id.serial_number}"
    served = httpx.get(doctor.web_service_url + path, headers={"Authorization": f"ApplePass {token}"}, timeout=20)
    assert list(check_download(doctor, pass_id, served, web_service_url=doctor.web_service_url)) == []
    (finding,) = check_download(doctor, pass_id, served, web_service_url="https://passes.example.com")
    assert "but this stage's is https://passes.example.com" in finding.found


@pytest.mark.usefixtures("deployed")
def test_json_report_of_a_healthy_stage_has_no_findings_and_exit_code_0() -> None:
    done = CliRunner().invoke(app, ["doctor", "--stage", STAGE, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["healthy"]
    assert [check["name"] for check in report["checks"]] == [check.name for check in CHECKS]
    assert all(check["findings"] == [] for check in report["checks"])


def test_fault_is_printed_with_its_fix_and_exit_code_1(deployed: Stage) -> None:
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=deployed.queues["dead_letter"], MessageBody="{}")
    try:
        done = CliRunner().invoke(app, ["doctor", "--stage", STAGE])
    finally:
        sqs.purge_queue(QueueUrl=deployed.queues["dead_letter"])
    assert done.exit_code == 1
    headline, *rest = done.stdout.splitlines()
    assert headline == f"stage {STAGE}: 1 fault, 0 warnings: devices are not updated as they should be"
    assert rest[0] == "fault    invalid pass items or given-up pushes in the dead-letter queue: 1"
    assert rest[1].split() == ["to", "do:", "passwire", "push", "status", "--stage", STAGE]
    assert len([line for line in rest if line.startswith("ok ")]) == len(CHECKS) - 1


def test_exit_code_is_0_if_there_are_only_warnings(deployment: Deployment) -> None:
    with unsubscribed(deployment):
        done = CliRunner().invoke(app, ["doctor", "--stage", STAGE])
    assert done.exit_code == 0, done.output
    assert "warning  alarms reach no person" in done.stdout
    assert done.stdout.startswith(f"stage {STAGE}: 0 faults, 1 warning: devices are updated\n")


def test_downloads_of_the_doctor_are_marked_in_the_history(deployment: Deployment) -> None:
    doctor = DoctorContext(deployment.stage)
    pass_id, _ = next(doctor.issued_passes)
    since = time.time() - 5
    assert deployment.examine("download") == []

    def sentences() -> list[str]:
        return [entry.description for entry in History(deployment.stage).of(pass_id, since=since)]

    found = eventually(lambda: [text for text in sentences() if "download" in text], "the download in the history")
    assert found[-1].startswith("downloaded by `doctor`, not by a phone, ")


def test_findings_contain_no_secret(deployment: Deployment) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    with secret(deployment, changed(private_key=pem)), keys(deployment, '{"keys": [{"id": "1", "key": "c2VjcmV0"}]}'):
        found = " ".join(f"{finding.found} {finding.fix}" for finding in deployment.examine())
    assert "its private key is not an unencrypted PEM key" in found
    assert "c2VjcmV0" not in found
