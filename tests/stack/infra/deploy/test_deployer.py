"""Stages are deployed, described, changed and destroyed side by side on the embedded AWS."""

import base64
import copy
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from infra.commands import main
from infra.deploy.bucket import CODE_VERSIONS, DeployBucket
from infra.deploy.change_sets import CloudStack
from infra.deploy.changes import ResourceChange, ResourceEvent, Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.git import read_checkout
from infra.deploy.package import Package
from infra.deploy.write_package import write_package
from infra.local.ministack import Ministack, finish_gateway
from infra.local.run import LocalRun
from infra.stage.errors import StageError
from infra.stage.secrets import ensure_authentication_keys
from infra.stage.stage import Stage
from tests.support.command_line import AtTerminal
from tests.support.eventually import eventually

PASS = {"pass_id": {"S": "pass.com.acme.boarding/kept"}}


class Watched(Unattended):
    """A dialogue that agrees and remembers."""

    def __init__(self, on_event: Callable[[ResourceEvent], None] = lambda _: None) -> None:
        self.reviewed: list[ResourceChange] = []
        self.questions: list[str] = []
        self._on_event = on_event

    def review(self, changes: list[ResourceChange], /) -> bool:
        self.reviewed = changes
        return True

    def allows(self, question: str, /) -> bool:
        self.questions.append(question)
        return True

    def event(self, event: ResourceEvent, /) -> None:
        self._on_event(event)


class StageUnderTest:
    """A stage of the test's own."""

    def __init__(self, name: str, package: Package) -> None:
        self.name = name
        self.said: list[str] = []
        self.package = package
        self.deployer = Deployer(name, on_progress=self.said.append)

    def deploys(self, changed: Callable[[dict[str, Any]], object] | None = None, **options: Any) -> Watched:  # noqa: ANN401
        """Deploy, optionally with a changed template."""
        package = self.package
        if changed is not None:
            package = replace(package, template=copy.deepcopy(package.template))
            changed(package.template)
        watched = options.pop("dialogue", None) or Watched()
        self.deployer.deploy(lambda: package, parameters=options, dialogue=watched)
        return watched

    @property
    def status(self) -> str | None:
        found = CloudStack(self.deployer.stack_name, stage=self.name).described()
        return None if found is None else str(found["StackStatus"])


@pytest.fixture
def stage(stack: LocalRun, local_package: Package, request: pytest.FixtureRequest) -> Iterator[StageUnderTest]:
    """Named after the test; nothing of it stays."""
    assert stack
    made = StageUnderTest("t" + str(abs(hash(request.node.name)))[:8], local_package)
    yield made
    if made.status is not None or tables_of(made):
        Deployer(made.name, on_progress=lambda _: None).destroy(with_data=True, dialogue=Unattended())


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Commands = Callable[..., Ended]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """`python -m infra` in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["infra", *arguments])
        try:
            code: Any = main()
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return Ended(int(code or 0), captured.out, captured.err)

    return run


def tables_of(stage: StageUnderTest) -> list[str]:
    names = boto3.client("dynamodb").list_tables()["TableNames"]
    return [name for name in names if name.startswith(f"passwire-{stage.name}-")]


def functions_time_out_sooner(template: dict[str, Any]) -> None:
    """A harmless change."""
    template["Resources"]["PushWorker"]["Properties"]["Timeout"] = 110


def a_resource_fails(template: dict[str, Any]) -> None:
    """A queue that no SQS would make."""
    template["Resources"]["Broken"] = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 99999999}}


def test_deployment_keeps_parameters_and_leaves_other_stages_alone(stage: StageUnderTest, stack: LocalRun) -> None:
    """One story, since each step takes seconds: parameters are kept, unchanged code is not uploaded, calls succeed."""
    first = stage.deploys(WebServiceUrl="https://passes.example")
    assert {change.action for change in first.reviewed} == {"Add"}
    deployed = Stage.open(stage.name)
    assert set(deployed.tables.values()).isdisjoint(stack.tables.values())
    assert any(line.startswith("uploaded") for line in stage.said)
    (stack_tags,) = (
        found["Tags"]
        for found in boto3.client("cloudformation").describe_stacks(StackName=stage.deployer.stack_name)["Stacks"]
    )
    assert stack_tags == [{"Key": "passwire:stage", "Value": stage.name}]  # CloudFormation gives them to each resource

    stage.said.clear()
    assert stage.deploys().reviewed == []
    assert stage.said[-2:] == ["the code has not changed since the last upload", "nothing to change"]
    variables = boto3.client("lambda").get_function_configuration(FunctionName=deployed.functions["api"])
    assert variables["Environment"]["Variables"]["PASSWIRE_WEB_SERVICE_URL"] == "https://passes.example"

    api_url = finish_gateway(deployed, Ministack(stack.aws_endpoint_url))
    ensure_authentication_keys(stage.name)
    statuses: list[int] = []
    over = threading.Event()

    def phones_come() -> None:
        while not over.is_set():
            statuses.append(httpx.post(f"{api_url}/v1/log", json={"logs": []}, timeout=30).status_code)

    phones = threading.Thread(target=phones_come)
    phones.start()
    try:
        updated = stage.deploys(functions_time_out_sooner)
    finally:
        over.set()
        phones.join()
    assert "PushWorker" in {change.logical_id for change in updated.reviewed}
    assert set(statuses) == {200}


def test_next_deployment_removes_a_failed_first_one(stage: StageUnderTest) -> None:
    with pytest.raises(DeployError, match=r"rolled back \(ROLLBACK_COMPLETE\); Broken \(AWS::SQS::Queue\) failed"):
        stage.deploys(a_resource_fails)
    assert stage.status == "ROLLBACK_COMPLETE"
    with pytest.raises(StageError, match="not deployed"):
        Stage.open(stage.name)
    mended = stage.deploys()
    assert "ROLLBACK_COMPLETE" in mended.questions[0]
    assert stage.status is not None
    assert stage.status.endswith("_COMPLETE")
    assert "ROLLBACK" not in stage.status

    with pytest.raises(DeployError, match=r"rolled back \(UPDATE_ROLLBACK_COMPLETE\); Broken"):
        stage.deploys(a_resource_fails)
    assert stage.deploys(functions_time_out_sooner).reviewed


@pytest.mark.timeout(400)  # it deploys twice and destroys twice
def test_tables_and_templates_are_kept_by_destroy_and_taken_over_by_deploy(
    stage: StageUnderTest, commands: Commands
) -> None:
    stage.deploys()
    deployed = Stage.open(stage.name)
    table, bucket = deployed.tables["passes"], deployed.outputs["TemplatesBucketName"]
    dynamodb, s3 = boto3.client("dynamodb"), boto3.client("s3")
    dynamodb.put_item(TableName=table, Item=PASS)
    s3.put_object(Bucket=bucket, Key="templates/x", Body=b"kept")
    s3.put_object(Bucket=bucket, Key="templates/x", Body=b"kept twice")

    done = commands("destroy", "--stage", stage.name)
    assert (done.code, stage.status is None) == (2, False)
    dynamodb.put_item(TableName=deployed.tables["devices"], Item={"device_library_identifier": {"S": "d"}})
    assert boto3.client("cloudformation").describe_stacks(StackName=stage.deployer.stack_name)["Stacks"][0][
        "EnableTerminationProtection"
    ]
    done = commands("destroy", "--stage", stage.name, "--yes")
    assert done.code == 0, done.err
    assert "registered devices: 1; the URL that they call is deleted with the stage" in " ".join(done.err.split())
    assert re.search(rf"^{table} +kept$", done.out, re.MULTILINE)
    assert stage.status is None
    assert dynamodb.get_item(TableName=table, Key=PASS)["Item"] == PASS

    assert {
        c.logical_id for c in stage.deployer.diff(lambda: stage.package, parameters={}) if c.action == "Import"
    } == {
        "PassesTable",
        "VersionsTable",
        "RegistrationsTable",
        "DevicesTable",
        "CountsTable",
        "TemplatesBucket",
    }
    stage.said.clear()
    assert table in stage.deploys().questions[0]
    assert any(line.startswith("registered devices: 1; the API that they call was deleted") for line in stage.said)
    assert Stage.open(stage.name).tables["passes"] == table
    assert dynamodb.get_item(TableName=table, Key=PASS)["Item"] == PASS

    done = commands("destroy", "--stage", stage.name, "--yes", "--with-data")
    assert done.code == 0, done.err
    assert "AWS keeps a backup of each table for 35 days" in " ".join(done.err.split())
    assert tables_of(stage) == []
    assert bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}


def without_a_table(template: dict[str, Any]) -> None:
    del template["Resources"]["PassesTable"]["Properties"]["StreamSpecification"]
    template["Resources"]["PassesTable"]["Properties"]["TableName"] = "another-name"


def test_domain_is_set_by_parameters_and_losing_a_table_is_refused(
    stage: StageUnderTest,
) -> None:
    zone = boto3.client("route53").create_hosted_zone(Name="acme.example", CallerReference=stage.name)["HostedZone"][
        "Id"
    ]
    zone = zone.removeprefix("/hostedzone/")
    domain = f"{stage.name}.acme.example"
    stage.deploys(DomainName=domain, CertificateArn="arn:aws:acm:eu-central-1:1:certificate/1", HostedZoneId=zone)
    deployed = Stage.open(stage.name)
    assert deployed.outputs["WebServiceUrl"] == f"https://{domain}"
    variables = boto3.client("lambda").get_function_configuration(FunctionName=deployed.functions["api"])
    assert variables["Environment"]["Variables"]["PASSWIRE_WEB_SERVICE_URL"] == f"https://{domain}"
    (mapping,) = boto3.client("apigateway").get_base_path_mappings(domainName=domain)["items"]
    assert (mapping["restApiId"], mapping["stage"]) == (deployed.outputs["RestAPIId"], "api")
    records = boto3.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert domain in {record["Name"].rstrip(".") for record in records}

    with pytest.raises(DeployError, match=r"refused: Modify +PassesTable .* REPLACED.*would lose data"):
        stage.deploys(without_a_table)
    assert stage.status == "CREATE_COMPLETE"
    client = boto3.client("cloudformation")
    left = client.list_change_sets(StackName=stage.deployer.stack_name)["Summaries"]
    assert [one["ChangeSetName"] for one in left if one["ExecutionStatus"] == "AVAILABLE"] == []


def test_diff_finds_changes_and_removes_its_change_set(stage: StageUnderTest) -> None:
    changes = stage.deployer.diff(lambda: stage.package, parameters={})
    assert {"PassesTable", "Push", "RestAPI", "AccessLogGroup"} <= {change.logical_id for change in changes}
    assert stage.status is None
    assert tables_of(stage) == []


def test_declined_or_interrupted_deployment_changes_nothing(stage: StageUnderTest) -> None:
    class Declines(Unattended):
        def review(self, _changes: list[ResourceChange], /) -> bool:
            return False

    with pytest.raises(DeployError, match="declined; nothing was changed"):
        stage.deploys(dialogue=Declines())
    assert stage.status is None

    interrupting = AtTerminal("deploy", "--stage", stage.name)
    interrupting.until("[y/N]: ")
    interrupting.interrupts()
    assert interrupting.ends() == 130
    assert stage.status is None


def test_interruption_reports_that_cloudformation_continues(stage: StageUnderTest) -> None:
    def interrupt(_: ResourceEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.deploys(dialogue=Watched(interrupt))
    assert "CloudFormation continues without this command" in stage.said[-1]
    eventually(lambda: stage.status == "CREATE_COMPLETE", "the end of the deployment")


class Slow(Watched):
    """A person reviews the changes while another deploys."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def review(self, changes: list[ResourceChange], /) -> bool:
        self._meanwhile()
        return super().review(changes)


def test_second_concurrent_deployment_is_refused(stage: StageUnderTest) -> None:
    stage.deploys()
    with pytest.raises(DeployError, match="began in the meantime; this one changed nothing"):
        stage.deploys(dialogue=Slow(lambda: stage.deploys(functions_time_out_sooner)), ApnsPushType="alert")
    assert (
        boto3.client("lambda").get_function_configuration(FunctionName=Stage.open(stage.name).functions["push_worker"])[
            "Timeout"
        ]
        == 110
    )


def test_deploy_bucket_requires_tls_and_keeps_the_newest_code(stack: LocalRun) -> None:
    assert stack
    place = Deployer("t-bucket", on_progress=lambda _: None).location()
    bucket, s3 = DeployBucket(account=place.account, region=place.region), boto3.client("s3")
    keys = [bucket.key("t-bucket", str(number).encode(), "zip") for number in range(CODE_VERSIONS + 3)]
    for number, key in enumerate(keys):
        bucket.put(key, str(number).encode())
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket.name)["Policy"])["Statement"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
    assert {rule["ID"] for rule in rules} == {"templates", "incomplete-uploads"}
    assert all("Expiration" not in rule or rule["Filter"].get("ObjectSizeLessThan") for rule in rules), "code stays"

    bucket.prune("t-bucket", used=keys[0])
    left = {item["Key"] for item in s3.list_objects_v2(Bucket=bucket.name, Prefix="t-bucket/")["Contents"]}
    assert keys[0] in left
    assert len(left) in (CODE_VERSIONS, CODE_VERSIONS + 1)


def test_large_template_is_read_from_the_bucket(stage: StageUnderTest) -> None:
    deployer = Deployer(stage.name, on_progress=stage.said.append, body_limit_bytes=1000)
    assert deployer.diff(lambda: stage.package, parameters={})
    s3 = boto3.client("s3")
    bucket = next(one["Name"] for one in s3.list_buckets()["Buckets"] if "passwire-deploy-" in one["Name"])
    (template,) = s3.list_objects_v2(Bucket=bucket, Prefix=f"{stage.name}/")["Contents"]
    assert template["Key"].endswith(".json")
    assert template["Size"] > 1000


class PackagedScript:
    """The script that `package` writes, run as written, with the AWS CLI.

    Args:
        stage: its stage.
        environment: credentials of the embedded AWS.
        folder: to write to.
    """

    def __init__(self, stage: StageUnderTest, environment: Mapping[str, str], folder: Path) -> None:
        self._stage = stage
        self._environment = {**os.environ, **environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self._folder = folder

    def runs(
        self, *arguments: str, changed: Callable[[dict[str, Any]], object] = lambda _: None, **parameters: str
    ) -> subprocess.CompletedProcess[str]:
        """Write it for a changed template and parameters, and run it."""
        template = copy.deepcopy(self._stage.package.template)
        changed(template)
        self.written = write_package(
            replace(self._stage.package, template=template),
            location=self._stage.deployer.location(),
            parameters=parameters,
            commit=read_checkout().name,
            folder=self._folder,
        )
        return subprocess.run(
            [self.written["script"], *arguments], env=self._environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def script(stage: StageUnderTest, stack: LocalRun, tmp_path: Path) -> PackagedScript:
    return PackagedScript(stage, stack.credentials, tmp_path / "out")


def test_packaged_script_deploys_the_same_template_as_deploy(stage: StageUnderTest, script: PackagedScript) -> None:
    """`deploy` then finds nothing to change. A second time the script has nothing to do, and the key stays."""
    done = script.runs("--no-execute-changeset", WebServiceUrl="https://passes.example.com")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PassesTable" in done.stdout
    assert tables_of(stage) == []
    for _ in range(2):
        done = script.runs(WebServiceUrl="https://passes.example.com")
        assert done.returncode == 0, done.stdout + done.stderr
    assert Stage.open(stage.name).outputs["WebServiceUrl"] == "https://passes.example.com"
    assert stage.deployer.diff(lambda: stage.package, parameters={}) == []
    keys = boto3.client("secretsmanager").get_secret_value(SecretId=f"passwire/{stage.name}/authentication-keys")
    assert [len(base64.b64decode(key["key"])) for key in json.loads(keys["SecretString"])["keys"]] == [32]
    template = json.loads(Path(script.written["template"]).read_text())
    assert template["Resources"]["PassesTable"]["Properties"]["TableName"] == f"passwire-{stage.name}-passes"
    assert [r["Properties"]["CodeUri"] for r in template["Resources"].values() if "CodeUri" in r.get("Properties", {})]


def test_packaged_script_refuses_to_lose_a_table_or_the_url(stage: StageUnderTest, script: PackagedScript) -> None:
    assert script.runs(WebServiceUrl="https://passes.example.com").returncode == 0
    for changed, parameters, refusal in (
        (without_a_table, {}, "PassesTable"),
        (functions_time_out_sooner, {"WebServiceUrl": "https://other.example.com"}, "https://other.example.com"),
    ):
        done = script.runs(changed=changed, **parameters)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "refused: " in done.stderr
        assert refusal in done.stderr
        assert "nothing was changed" in done.stderr
        assert stage.status == "CREATE_COMPLETE"
    left = boto3.client("cloudformation").list_change_sets(StackName=stage.deployer.stack_name)["Summaries"]
    assert [one["ChangeSetName"] for one in left if one["ExecutionStatus"] == "AVAILABLE"] == []
    done = script.runs(changed=functions_time_out_sooner)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stage.status == "UPDATE_COMPLETE"
