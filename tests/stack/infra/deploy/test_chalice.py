"""`prepare`, `chalice deploy` and `finish` deploy the same service as `deploy`."""

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from chalicelib.aws.secrets import Secrets
from chalicelib.core.identifiers import PassId
from infra.deploy.chalice.stage import TRIGGERS, ChaliceDeployer
from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.resources import resources
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.stage.secrets import ensure_authentication_keys
from infra.stage.stage import Stage
from tests.support.command_line import infra
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(600)  # three deployments are made before the first test begins
STAGE = "chalice"
OF_ITS_OWN = {"UUID", "EventSourceArn", "FunctionArn", "EventSourceMappingArn", "LastModified", "LastProcessingResult"}


@dataclass(frozen=True)
class Project:
    """A checkout of the test's own, since `prepare` writes into it."""

    folder: Path

    @classmethod
    def copied(cls, folder: Path) -> "Project":
        for file in ("app.py", "requirements.txt"):
            shutil.copy(PROJECT / file, folder / file)
        shutil.copytree(PROJECT / "chalicelib", folder / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".chalice").mkdir()
        for configuration in (PROJECT / ".chalice").glob("*.json"):
            shutil.copy(configuration, folder / ".chalice")
        (folder / ".chalice" / "deployments").symlink_to(PROJECT / ".chalice" / "deployments")  # what pip fetched
        return cls(folder)

    def stage(self, said: list[str]) -> ChaliceDeployer:
        return ChaliceDeployer(STAGE, on_progress=said.append, folder=self.folder / ".chalice")

    def chalice(self, command: str) -> str:
        """Chalice's own command, but for how it makes an API."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.support.chalice_on_ministack"),
                *("--project-dir", str(self.folder), command, "--stage", STAGE),
            ],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def noted(self, name: str) -> dict[str, Any]:
        """Return Chalice's record of a resource."""
        deployed = json.loads((self.folder / ".chalice" / "deployed" / f"{STAGE}.json").read_text())
        return next(resource for resource in deployed["resources"] if resource["name"] == name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.copied(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def finished(stack: LocalRun, project: Project) -> Iterator[Stage]:
    """The three commands, as a team runs them; nothing of it stays."""
    parameters = {
        "ApnsUrl": stack.apns_url,
        "ApnsCa": Path(stack.ca_file).read_text(),
        "PathParameters": "decoded",
        "WebServiceUrl": "https://passes.example",
        "PushReservedConcurrency": "7",
        "Tracing": "on",
    }
    with pytest.raises(DeployError, match=f"run: chalice deploy --stage {STAGE}"):
        project.stage([]).finish(dialogue=Unattended())
    project.stage([]).prepare(parameters=parameters, dialogue=Unattended())
    _hand_over_secrets(stack)
    project.chalice("deploy")
    yield project.stage([]).finish(dialogue=Unattended())
    Deployer(STAGE, on_progress=lambda _: None).destroy(with_data=True, dialogue=Unattended())
    project.chalice("delete")


def _hand_over_secrets(stack: LocalRun) -> None:
    ensure_authentication_keys(STAGE)
    client = boto3.client("secretsmanager")
    for name in (f"pass-types/{stack.pass_type_identifier}", f"apns-keys/{stack.pass_type_identifier}"):
        content = client.get_secret_value(SecretId=f"passwire/{stack.stage}/{name}")["SecretString"]
        client.create_secret(Name=f"passwire/{STAGE}/{name}", SecretString=content)


def trigger(function_name: str) -> dict[str, Any]:
    (mapping,) = boto3.client("lambda").list_event_source_mappings(FunctionName=function_name)["EventSourceMappings"]
    nothing = {"StartingPosition"} if ":sqs:" in mapping["EventSourceArn"] else set()  # a queue has no beginning
    return {key: value for key, value in mapping.items() if key not in OF_ITS_OWN | nothing}


def test_finish_sets_triggers_as_deploy_does(finished: Stage, stack: LocalRun) -> None:
    def of(stage: str, function_name: str) -> str:
        return json.dumps(trigger(function_name), sort_keys=True).replace(f"passwire-{stage}-", "")

    for role in ("push", "push_worker"):
        assert of(STAGE, finished.functions[role]) == of(stack.stage, stack.functions[role])
    assert trigger(finished.functions["push"])["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_finish_sets_function_properties_of_the_template(finished: Stage, project: Project) -> None:
    """Lambda would stop a function that sends to its own queue, and Chalice does not know that setting."""
    client = boto3.client("lambda")
    loops = {
        role: client.get_function_recursion_config(FunctionName=name)["RecursiveLoop"]
        for role, name in finished.functions.items()
    }
    others = ("api", "push", "publish_events", "check_certificates")
    assert loops == {**dict.fromkeys(others, "Terminate"), "push_worker": "Allow"}
    reserved = {
        role: client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        for role, name in finished.functions.items()
    }
    others = ("api", "push_worker", "publish_events", "check_certificates")
    assert reserved == {**dict.fromkeys(others), "push": 7}
    for name in finished.functions.values():
        configuration = client.get_function_configuration(FunctionName=name)
        assert configuration["TracingConfig"]["Mode"] == "Active"
        role = configuration["Role"].rpartition("/")[2]
        policy = boto3.client("iam").get_role_policy(RoleName=role, PolicyName=role)["PolicyDocument"]
        assert "xray:PutTraceSegments" in policy["Statement"][-1]["Action"]
    assert boto3.client("apigateway").get_stage(restApiId=project.noted("rest_api")["rest_api_id"], stageName="api")[
        "tracingEnabled"
    ]


def test_finish_sets_the_gateway_as_deploy_does(finished: Stage, stack: LocalRun, project: Project) -> None:
    client = boto3.client("apigateway")

    def settings(api_id: str, stage: str) -> dict[str, Any]:
        shown = client.get_stage(restApiId=api_id, stageName="api")
        return {
            "limits": {k: v for k, v in shown["methodSettings"]["*/*"].items() if k.startswith(("thr", "log", "data"))},
            "name": client.get_rest_api(restApiId=api_id)["name"].replace(f"passwire-{stage}", ""),
        }

    api_id = project.noted("rest_api")["rest_api_id"]
    assert api_id in finished.api_url
    one_stack = stack.api_url.split("/restapis/")[1].partition("/")[0]
    assert settings(api_id, STAGE) == settings(one_stack, stack.stage)
    defined = resources()["Resources"]["RestAPI"]["Properties"]["AccessLogSetting"]  # ministack's stacks leave it out
    written = client.get_stage(restApiId=api_id, stageName="api")["accessLogSettings"]
    assert written["format"] == defined["Format"]
    assert written["destinationArn"].endswith(f":log-group:/aws/apigateway/passwire-{STAGE}")
    answer = client.get_gateway_response(restApiId=api_id, responseType="MISSING_AUTHENTICATION_TOKEN")
    assert answer["statusCode"] == "404"
    assert client.get_rest_api(restApiId=api_id)["binaryMediaTypes"][-1] == "*/*"


def test_prepared_policies_and_environment_contain_no_expression(finished: Stage, project: Project) -> None:
    assert finished
    prepared = list((project.folder / ".chalice" / "prepared" / STAGE).glob("*.json"))
    configured = json.loads((project.folder / ".chalice" / "config.json").read_text())
    assert len(prepared) == len(configured["lambda_functions"])
    assert configured["stages"]["prod"]
    for written in [*(file.read_text() for file in prepared), json.dumps(configured)]:
        assert "Fn::" not in written
        assert '"Ref"' not in written


def test_access_log_contains_no_path_address_or_header() -> None:
    """A path contains device library identifiers and link tokens; the route is enough for an operator."""
    fields = json.loads(resources()["Resources"]["RestAPI"]["Properties"]["AccessLogSetting"]["Format"])
    assert set(fields.values()) == {
        "$context.requestId",
        "$context.requestTimeEpoch",
        "$context.httpMethod",
        "$context.resourcePath",
        "$context.status",
        "$context.responseLatency",
        "$context.integrationLatency",
        "$context.responseLength",
        "$context.error.responseType",
    }


def test_finish_creates_the_api_functions_log_group(finished: Stage) -> None:
    groups = boto3.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{finished.functions['api']}")
    kept = {group["logGroupName"]: group.get("retentionInDays") for group in groups["logGroups"]}
    assert kept[f"/aws/lambda/{finished.functions['api']}"] == 30


def test_change_is_pushed_and_downloaded(finished: Stage, stack: LocalRun, project: Project) -> None:
    pass_id = PassId(stack.pass_type_identifier, secrets.token_hex(6))
    table = boto3.resource("dynamodb").Table(finished.tables["passes"])
    item = {"pass_id": str(pass_id), "template": stack.template, "fields": {"gate": "A1"}}
    table.put_item(Item=item)
    api_id = project.noted("rest_api")["rest_api_id"]
    api_url = f"{stack.aws_endpoint_url}/restapis/{api_id}/api/_user_request_/v1"
    token = Secrets(stage=STAGE).authentication_keys().issue(pass_id, item_token=None).value
    authorized = {"Authorization": f"ApplePass {token}"}
    device, push_token = secrets.token_hex(16), secrets.token_hex(32)
    place = f"{pass_id.pass_type_identifier}/{pass_id.serial_number}"

    registered = httpx.post(
        f"{api_url}/devices/{device}/registrations/{place}",
        json={"pushToken": push_token},
        headers=authorized,
        timeout=30,
    )
    assert registered.status_code == 201
    table.put_item(Item={**item, "fields": {"gate": "B22"}})
    eventually(
        lambda: [push for push in httpx.get(f"{stack.apns_control_url}/pushes").json() if push["token"] == push_token],
        "the push",
    )
    downloaded = httpx.get(f"{api_url}/passes/{place}", headers=authorized, timeout=30)
    assert downloaded.headers["Content-Type"] == "application/vnd.apple.pkpass"
    assert downloaded.content.startswith(b"PK")
    assert httpx.get(f"{api_url}/nothing/here", timeout=30).status_code == 404


def test_second_finish_changes_nothing_and_deploy_is_refused(finished: Stage, project: Project) -> None:
    said: list[str] = []
    assert project.stage(said).finish(dialogue=Unattended()) == finished
    assert "nothing to change" in said
    assert sum(line.endswith("has not changed") for line in said) == len(TRIGGERS) + 1, "the versions stream, too"
    with pytest.raises(DeployError, match="is deployed with Chalice"):
        Deployer(STAGE, on_progress=lambda _: None).deploy(pytest.fail, parameters={}, dialogue=Unattended())


def test_prepare_refuses_a_stage_deployed_as_one_stack(stack: LocalRun) -> None:
    with pytest.raises(DeployError, match="was deployed as one stack"):
        ChaliceDeployer(stack.stage, on_progress=lambda _: None).prepare(parameters={}, dialogue=Unattended())


def test_other_commands_work_with_a_chalice_stage(finished: Stage, stack: LocalRun) -> None:
    """They find functions, tables and queues, which the two ways of deploying create in different places."""

    def told(*arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        done = infra(*arguments, "--stage", STAGE, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    chosen = ("--type", stack.pass_type_identifier, "--template", "boarding", "--field", "gate=A7")
    issued = told("pass", "issue", *chosen)
    assert issued["link"].startswith("https://passes.example/p/")
    eventually(lambda: told("pass", "show", issued["pass_id"])["revision"], "the first stamp")
    assert told("outputs")["ApiFunctionName"] == finished.functions["api"]
    assert told("push", "status")["queues"]["push"]["waiting"] == 0
    assert [row["pass_type_identifier"] for row in told("cert", "status")] == [stack.pass_type_identifier]
    found = {check["name"]: check["findings"] for check in told("doctor", code=1)["checks"]}
    faults = {name for name, findings in found.items() if any(of["severity"] == "fault" for of in findings)}
    assert faults == {"gateway"}, "https://passes.example leads nowhere, and nothing else is wrong"
