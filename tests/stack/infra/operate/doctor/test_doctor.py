"""The doctor finds nothing wrong with a healthy stage, and each fault that is made in it."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from infra.commands import app
from infra.local import certificates
from infra.local.ministack import Ministack, set_binary_media_types
from infra.local.processes import free_port
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, LocalRun
from infra.operate.doctor.checks import CHECKS, Check, web_service
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding
from infra.operate.doctor.run import run_checks
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage.secrets import put_pass_type
from infra.stage.stage import Stage
from tests.support import samples
from tests.support.eventually import eventually
from tests.support.second_stage import STAGE, SecondStage, credentials

PRIVATE_KEY = "private_key"
pytestmark = pytest.mark.timeout(400)
"""The first of them brings up two stages, which takes minutes on a busy machine."""


@dataclass(frozen=True)
class Ward:
    """What a fault is made with."""

    stack: Stage
    local: LocalRun
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def secret(self) -> dict[str, Any]:
        """What the pass type's secret holds, as long as nobody changes it."""
        return credentials(self.folder)

    def other_secret(self, name: str, **settings: timedelta) -> dict[str, Any]:
        """Another authority's certificates, as long-lived as said."""
        for setting, value in settings.items():
            self.monkeypatch.setattr(certificates, setting, value)
        folder = self.folder / name
        certificates.make_development_chain(
            folder, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        return credentials(folder)

    def of_lifetime(self, lifetime: timedelta) -> dict[str, Any]:
        """A certificate of another authority, for so long."""
        portal, key = certificates.Portal.open(), rsa.generate_private_key(public_exponent=65537, key_size=2048)
        own = portal.issue(
            key.public_key(),
            pass_type_identifier=PASS_TYPE_IDENTIFIER,
            team_identifier=TEAM_IDENTIFIER,
            lifetime=lifetime,
        )
        pem, intermediate = Encoding.PEM, portal.intermediate.certificate
        return {
            **self.secret(),
            "certificate": own.public_bytes(pem).decode(),
            PRIVATE_KEY: key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "intermediate": intermediate.public_bytes(pem).decode(),
        }


Break = Callable[[Ward], AbstractContextManager[None]]


@contextmanager
def secret(ward: Ward, change: Callable[[Ward], dict[str, Any]], *, name: str = PASS_TYPE_IDENTIFIER) -> Iterator[None]:
    put_pass_type(STAGE, name, change(ward))
    try:
        yield
    finally:
        if name == PASS_TYPE_IDENTIFIER:
            put_pass_type(STAGE, name, ward.secret())
        else:
            boto3.client("secretsmanager").delete_secret(
                SecretId=f"passwire/{STAGE}/pass-types/{name}", ForceDeleteWithoutRecovery=True
            )


@contextmanager
def taken_for_a_loop(ward: Ward) -> Iterator[None]:
    client, name = boto3.client("lambda"), ward.stack.functions["push_worker"]
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Terminate")
    try:
        yield
    finally:
        client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")


@contextmanager
def keys(ward: Ward, text: str) -> Iterator[None]:
    assert ward
    client, name = boto3.client("secretsmanager"), f"passwire/{STAGE}/authentication-keys"
    before = client.get_secret_value(SecretId=name)["SecretString"]
    client.put_secret_value(SecretId=name, SecretString=text)
    try:
        yield
    finally:
        client.put_secret_value(SecretId=name, SecretString=before)


@contextmanager
def variables(ward: Ward, role: str, change: Callable[[dict[str, str], Ward], dict[str, str]]) -> Iterator[None]:
    client, name = boto3.client("lambda"), ward.stack.functions[role]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": change(dict(before), ward)})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def url(text: str) -> Break:
    """Passes name this URL."""
    return partial(variables, role="api", change=lambda before, _: {**before, "PASSWIRE_WEB_SERVICE_URL": text})


@contextmanager
def item(ward: Ward, **attributes: Any) -> Iterator[None]:  # noqa: ANN401 - whatever a pipeline writes
    table = boto3.resource("dynamodb").Table(ward.stack.tables["passes"])
    key = {"pass_id": f"{PASS_TYPE_IDENTIFIER}/{secrets.token_hex(4)}"} | {
        name: value for name, value in attributes.items() if name == "pass_id"
    }
    table.put_item(Item={"template": ward.local.template, **attributes, **key})
    try:
        yield
    finally:
        table.delete_item(Key=key)


@contextmanager
def refused_item(ward: Ward, **attributes: Any) -> Iterator[None]:  # noqa: ANN401 - likewise
    """One that the push function puts into the dead-letter queue."""
    with item(ward, **attributes):
        yield
    eventually(lambda: _letters(ward), "the refusal")
    boto3.client("sqs").purge_queue(QueueUrl=ward.stack.queues["dead_letter"])


def _letters(ward: Ward) -> int:
    name = "ApproximateNumberOfMessages"
    found = boto3.client("sqs").get_queue_attributes(QueueUrl=ward.stack.queues["dead_letter"], AttributeNames=[name])
    return int(found["Attributes"][name])


@contextmanager
def message(ward: Ward, queue: str) -> Iterator[None]:
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=ward.stack.queues[queue], MessageBody="{}")
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=ward.stack.queues[queue])


@contextmanager
def metric(
    ward: Ward, namespace: str, name: str, dimension: str, named: Callable[[Ward], str], value: float
) -> Iterator[None]:
    cloudwatch = boto3.client("cloudwatch")
    data = {"MetricName": name, "Dimensions": [{"Name": dimension, "Value": named(ward)}]}

    def put(figure: float, at: datetime) -> None:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{**data, "Value": figure, "Timestamp": at}])

    # What stands there for ten minutes is in the doctor's view, but in none that an alarm looks at.
    put(value, datetime.now(UTC) - timedelta(minutes=10))
    yield
    put(0, datetime.now(UTC))


@contextmanager
def table(ward: Ward, role: str, off: Callable[[Any, str], object], on: Callable[[Any, str], object]) -> Iterator[None]:
    client, name = boto3.client("dynamodb"), ward.stack.tables[role]
    off(client, name)
    try:
        yield
    finally:
        on(client, name)


def recovery(*, enabled: bool) -> Callable[[Any, str], object]:
    return lambda client, name: client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled}
    )


def expiry(*, enabled: bool) -> Callable[[Any, str], object]:
    return lambda client, name: client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": enabled, "AttributeName": "delete_after"}
    )


def protection(*, enabled: bool) -> Callable[[Any, str], object]:
    return lambda client, name: client.update_table(TableName=name, DeletionProtectionEnabled=enabled)


@contextmanager
def mapping(ward: Ward, role: str, broken: dict[str, Any], whole: dict[str, Any]) -> Iterator[None]:
    client = boto3.client("lambda")
    (found,) = client.list_event_source_mappings(FunctionName=ward.stack.functions[role])["EventSourceMappings"]
    client.update_event_source_mapping(UUID=found["UUID"], **broken)
    try:
        yield
    finally:
        client.update_event_source_mapping(UUID=found["UUID"], **whole)


@contextmanager
def output(ward: Ward, **outputs: Callable[[Stage], str]) -> Iterator[None]:
    """The stage says that something is elsewhere than it is."""
    told = {**ward.stack.outputs, **{name: value(ward.stack) for name, value in outputs.items()}}
    _patch_patient(ward, lambda doctor: setattr(doctor, "stage", replace(ward.stack, outputs=told)))
    yield
    ward.monkeypatch.undo()


def _patch_patient(ward: Ward, change: Callable[[DoctorContext], object]) -> None:
    original = DoctorContext.__init__

    def init(self: DoctorContext, stack: Stage) -> None:
        original(self, stack)
        change(self)

    ward.monkeypatch.setattr(DoctorContext, "__init__", init)


@contextmanager
def binary_types(ward: Ward) -> Iterator[None]:
    """The gateway's binary types are lost, as after a deployment that nobody finished."""
    api_id = ward.stack.outputs["RestAPIId"]
    ministack = Ministack(ward.local.aws_endpoint_url)
    set_binary_media_types(ministack, api_id, [])
    try:
        yield
    finally:
        set_binary_media_types(ministack, api_id, ["*/*"])


@contextmanager
def pushed_template(ward: Ward) -> Iterator[None]:
    """A template that no check saw."""
    name = f"t-{secrets.token_hex(4)}"
    files = samples.files_of("generic")
    files["icon.png"] = b"GIF89a"
    TemplatesBucket(ward.stack).push(name, files, uploaded=lambda _: None)
    try:
        yield
    finally:
        for key in boto3.client("s3").list_objects_v2(Bucket=ward.stack.templates_bucket, Prefix=f"templates/{name}/")[
            "Contents"
        ]:
            boto3.client("s3").delete_object(Bucket=ward.stack.templates_bucket, Key=key["Key"])


@contextmanager
def wrong_clock(ward: Ward) -> Iterator[None]:
    _patch_patient(ward, lambda doctor: setattr(doctor, "clock", lambda: time.time() + 90))
    yield
    ward.monkeypatch.undo()


@contextmanager
def alarm_on(ward: Ward) -> Iterator[None]:
    assert ward
    cloudwatch = boto3.client("cloudwatch")
    names = [
        alarm["AlarmName"] for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=f"passwire-{STAGE}-")["MetricAlarms"]
    ]
    name = next(name for name in names if "StreamAge" in name)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


@contextmanager
def nobody_listens(ward: Ward) -> Iterator[None]:
    sns = boto3.client("sns")
    topic = ward.stack.outputs["AlarmTopicArn"]
    (there,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=there["SubscriptionArn"])
    yield
    sns.subscribe(TopicArn=topic, Protocol=there["Protocol"], Endpoint=there["Endpoint"])


def changed(**changes: Any) -> Callable[[Ward], dict[str, Any]]:  # noqa: ANN401 - a secret's content
    return lambda ward: {**ward.secret(), **changes}


def other_team(ward: Ward) -> dict[str, Any]:
    good = ward.secret()
    return {**good, "apns": {**good["apns"], "team_identifier": "OTHERTEAM1"}}


def other_provider_key(ward: Ward) -> dict[str, Any]:
    return {**ward.secret(), "apns": ward.other_secret("key")["apns"]}


def without(name: str) -> Callable[[dict[str, str], Ward], dict[str, str]]:
    return lambda before, _: {key: value for key, value in before.items() if key != name}


def with_(name: str, value: str) -> Callable[[dict[str, str], Ward], dict[str, str]]:
    return lambda before, _: {**before, name: value}


def elsewhere(before: dict[str, str], ward: Ward) -> dict[str, str]:
    """The gateway is there, but not this API."""
    return {**before, "PASSWIRE_WEB_SERVICE_URL": ward.local.aws_endpoint_url + "/restapis/nobodys/api/_user_request_"}


def untrusted(before: dict[str, str], ward: Ward) -> dict[str, str]:
    """Something that speaks TLS with a certificate that no phone trusts."""
    return {**before, "PASSWIRE_WEB_SERVICE_URL": ward.local.apns_url}


UNREACHED = f"https://127.0.0.1:{free_port()}"
NEW_KEYS = json.dumps({"keys": [{"id": "9", "key": "A" * 43 + "="}]})
FAULTS: dict[str, tuple[str, Break, str]] = {
    "no certificate for passes that are there": (
        "certificates",
        partial(item, pass_id="pass.example.other/1"),
        "pass type pass.example.other: there are passes of it, but no certificate",
    ),
    "another type's certificate": (
        "certificates",
        partial(secret, change=changed(), name="pass.example.renamed"),
        f"pass type pass.example.renamed: its certificate is that of {PASS_TYPE_IDENTIFIER}",
    ),
    "another certificate's key": (
        "certificates",
        partial(secret, change=lambda ward: {**ward.secret(), PRIVATE_KEY: ward.other_secret("a")[PRIVATE_KEY]}),
        "the private key is not the certificate's",
    ),
    "another generation's intermediate": (
        "certificates",
        partial(secret, change=lambda ward: {**ward.secret(), "intermediate": ward.other_secret("b")["intermediate"]}),
        "import the WWDR certificate of the right generation",
    ),
    "not Apple's": ("certificates", partial(secret, change=lambda ward: ward.other_secret("c")), "do not trust"),
    "expired": (
        "certificates",
        partial(secret, change=lambda ward: ward.of_lifetime(timedelta(minutes=30))),
        "its certificate expired on",
    ),
    "soon expired": (
        "certificates",
        partial(secret, change=lambda ward: ward.of_lifetime(timedelta(days=8, hours=3))),
        "its certificate expires in 8 days",
    ),
    "not valid yet": (
        "certificates",
        partial(secret, change=lambda ward: ward.other_secret("f", BACKDATE=timedelta(days=-2))),
        "its certificate is valid from",
    ),
    "another team's push key": ("certificates", partial(secret, change=other_team), "signed by team OTHERTEAM1"),
    "half a secret": (
        "certificates",
        partial(secret, change=lambda _: {"certificate": "x"}),
        "'private_key' is missing",
    ),
    "a push key that APNs does not know": (
        "apns",
        partial(secret, change=other_provider_key),
        "403 InvalidProviderToken",
    ),
    "APNs out of reach": (
        "apns",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_URL", UNREACHED)),
        f"APNs at {UNREACHED} answers Unreachable",
    ),
    "Apple's development environment": (
        "apns",
        partial(
            variables, role="push_worker", change=with_("PASSWIRE_APNS_URL", "https://api.sandbox.push.apple.com:443")
        ),
        "function drain does not push to Apple's production host: 'https://api.sandbox",
    ),
    "a stranger in APNs' place": (
        "apns",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_CA", "")),
        "answers UntrustedServer",
    ),
    "roots that do not lead to APNs": (
        "apns-roots",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_CA", "")),
        "the functions do not trust",
    ),
    "a worker that Lambda takes for a loop": ("functions", taken_for_a_loop, "stops it after about 16 rounds"),
    "broken authentication keys": ("authentication-keys", partial(keys, text="{}"), "must be"),
    "http": ("web-service-url", url("http://passes.example.com"), "phones call nothing but https"),
    "/v1": ("web-service-url", url("https://passes.example.com/v1"), "and so call /v1/v1"),
    "another API": (
        "web-service-url",
        url("https://zzz.execute-api.eu-central-1.amazonaws.com/api"),
        "but this stage's API is",
    ),
    "a domain of nobody": ("web-service-url", url("https://passes.example.com"), "no domain of API Gateway"),
    "no such API": ("gateway", partial(variables, role="api", change=elsewhere), "not 204"),
    "an API out of reach": ("gateway", url(UNREACHED), "cannot be reached: ConnectError"),
    "an untrusted API": ("gateway", partial(variables, role="api", change=untrusted), "not one that phones trust"),
    "binary types lost": ("download", binary_types, "is served as something that is no pass"),
    "new authentication keys": ("download", partial(keys, text=NEW_KEYS), "does not know its authentication token"),
    "a pass that cannot be made": ("download", partial(refused_item, fields={"nobody": "x"}), "the answer is 500"),
    "no recovery": (
        "tables",
        partial(table, role="devices", off=recovery(enabled=False), on=recovery(enabled=True)),
        "table passwire-second-devices has no point-in-time recovery",
    ),
    "no expiry": (
        "tables",
        partial(table, role="passes", off=expiry(enabled=False), on=expiry(enabled=True)),
        "keeps what its delete_after says is over",
    ),
    "no protection": (
        "tables",
        partial(table, role="versions", off=protection(enabled=False), on=protection(enabled=True)),
        "table passwire-second-versions can be deleted",
    ),
    "no table": ("tables", partial(output, DevicesTableName=lambda _: "nowhere"), "table nowhere is missing"),
    "no stream": (
        "tables",
        partial(output, PassesTableName=lambda stack: stack.tables["versions"]),
        "does not tell its changes: its stream is off",
    ),
    "a mapping that is off": (
        "mappings",
        partial(mapping, role="push", broken={"Enabled": False}, whole={"Enabled": True}),
        "function push is not called: its event source mapping is Disabled",
    ),
    "another number of readers": (
        "mappings",
        partial(mapping, role="push", broken={"ParallelizationFactor": 1}, whole={"ParallelizationFactor": 2}),
        "has ParallelizationFactor 1, not 2",
    ),
    "no partial batch responses": (
        "mappings",
        partial(
            mapping,
            role="push_worker",
            broken={"FunctionResponseTypes": []},
            whole={"FunctionResponseTypes": ["ReportBatchItemFailures"]},
        ),
        "has FunctionResponseTypes [], not",
    ),
    "no mapping": (
        "mappings",
        partial(output, PushFunctionName=lambda stack: stack.functions["api"]),
        "nothing calls function push",
    ),
    "the stream of a table that is no more": (
        "mappings",
        partial(output, PassesTableName=lambda stack: stack.tables["versions"]),
        "which is not what is written to any more",
    ),
    "an old iterator": (
        "lag",
        partial(
            metric,
            namespace="AWS/Lambda",
            name="IteratorAge",
            dimension="FunctionName",
            named=lambda ward: ward.stack.functions["push"],
            value=120_000,
        ),
        "changes wait for 120 s",
    ),
    "an old push": (
        "lag",
        partial(
            metric,
            namespace="AWS/SQS",
            name="ApproximateAgeOfOldestMessage",
            dimension="QueueName",
            named=lambda ward: ward.stack.queues["push"].rpartition("/")[2],
            value=7200,
        ),
        "pushes have waited for 2.0 hours",
    ),
    "a batch that was given up": (
        "lag",
        partial(message, queue="stream_failure"),
        "batches of changes that were given up: 1",
    ),
    "held removals": (
        "lag",
        partial(message, queue="held_removals"),
        "removals of devices that are held: 1 messages",
    ),
    "a dead letter": (
        "lag",
        partial(message, queue="dead_letter"),
        "refused pass items or given-up pushes in the dead-letter queue: 1",
    ),
    "a variable that is missing": (
        "functions",
        partial(variables, role="push_worker", change=without("PASSWIRE_PUSH_QUEUE_URL")),
        "function drain: its environment lacks PASSWIRE_PUSH_QUEUE_URL",
    ),
    "a window that is too short": (
        "functions",
        partial(variables, role="api", change=with_("PASSWIRE_PUSH_TIMEOUT_SECONDS", "5")),
        "function api: takes a push for over after 5 s",
    ),
    "another stage's table": (
        "functions",
        partial(variables, role="push", change=with_("PASSWIRE_DEVICES_TABLE", "passwire-local-devices")),
        "uses passwire-local-devices as its devices table",
    ),
    "a template that nobody pushed": (
        "templates",
        partial(refused_item, template="nowhere"),
        "template nowhere: passes name it",
    ),
    "a template that phones refuse": ("templates", pushed_template, "icon.png: is no PNG"),
    "a wrong clock": ("clock", wrong_clock, "s ahead of AWS's"),
    "an alarm": ("alarms", alarm_on, "alarm StreamAge is on"),
    "nobody who hears of alarms": ("alarms", nobody_listens, "nobody hears of alarms"),
}


def look(deployed: Stage, *names: str) -> list[DoctorFinding]:
    checks = [check for check in CHECKS if check.name in names or not names]
    results = run_checks(DoctorContext(deployed), checks=checks, done=lambda _: None)
    return [finding for result in results for finding in result.findings]


@pytest.fixture
def deployed(second_stage: SecondStage) -> Stage:
    return second_stage.stack


@pytest.fixture
def doctor(deployed: Stage) -> DoctorContext:
    """The stage as it is now: a patient remembers what it was asked."""
    return DoctorContext(deployed)


def test_a_healthy_stage_has_no_finding(deployed: Stage) -> None:
    assert look(deployed) == []


def test_every_check_is_seen_to_find_something() -> None:
    assert {name for name, _, _ in FAULTS.values()} == {check.name for check in CHECKS}


@pytest.fixture
def ward(deployed: Stage, stack: LocalRun, stack_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    (tmp_path / "certificates").symlink_to(stack_folder / "certificates")
    return Ward(deployed, stack, tmp_path, monkeypatch)


@pytest.mark.parametrize(("name", "fault", "found"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_with_its_fix(name: str, fault: Break, found: str, ward: Ward) -> None:
    with fault(ward):
        findings = look(ward.stack, name)
    matching = [finding for finding in findings if found in finding.found]
    assert matching, findings
    assert all(len(finding.fix) > 3 for finding in findings)


def test_what_was_broken_is_whole_again(deployed: Stage) -> None:
    """Else the tests above would find each other's faults."""
    assert look(deployed) == []


def test_a_pass_that_sends_phones_elsewhere_is_found(doctor: DoctorContext) -> None:
    (pass_id, token) = next(doctor.issued_passes)
    path = f"/v1/passes/{pass_id.pass_type_identifier}/{pass_id.serial_number}"
    served = httpx.get(doctor.web_service_url + path, headers={"Authorization": f"ApplePass {token}"}, timeout=20)
    assert list(web_service._served(doctor, pass_id, served)) == []
    doctor._kept["function api"] = {"Environment": {"Variables": moved(doctor)}}
    (finding,) = web_service._served(doctor, pass_id, served)
    assert "but this stage is at https://passes.example.com" in finding.found


def moved(doctor: DoctorContext) -> dict[str, str]:
    before: dict[str, str] = doctor.function("api")["Environment"]["Variables"]
    return {**before, "PASSWIRE_WEB_SERVICE_URL": "https://passes.example.com"}


def test_a_check_that_breaks_or_hangs_keeps_no_other_from_being_told(doctor: DoctorContext) -> None:
    never = threading.Event()

    def hangs(_: DoctorContext) -> Iterator[DoctorFinding]:
        never.wait(20)
        yield from ()

    def breaks(_: DoctorContext) -> Iterator[DoctorFinding]:
        raise ZeroDivisionError("with a secret in it")

    def refused(asked: DoctorContext) -> Iterator[DoctorFinding]:
        asked.client("dynamodb").describe_table(TableName="nowhere")
        yield from ()

    checks = [Check("hangs", "", hangs), Check("breaks", "", breaks), Check("refused", "", refused), CHECKS[0]]
    results = run_checks(doctor, checks=checks, done=lambda _: None, timeout=3)
    never.set()
    found = [[finding.found for finding in result.findings] for result in results]
    assert found[0] == ["hangs: had no answer after 3 s"]
    assert found[1] == ["breaks: broke: ZeroDivisionError"]
    assert "refused: could not be looked at" in found[2][0]
    assert found[3] == []


@pytest.mark.usefixtures("deployed")
def test_a_script_gets_0_and_no_finding_for_a_healthy_stage() -> None:
    done = CliRunner().invoke(app, ["doctor", "--stage", STAGE, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["healthy"]
    assert [check["name"] for check in report["checks"]] == [check.name for check in CHECKS]
    assert all(check["findings"] == [] for check in report["checks"])


def test_a_fault_ends_with_1_and_is_shown_with_what_to_do(deployed: Stage) -> None:
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=deployed.queues["dead_letter"], MessageBody="{}")
    try:
        done = CliRunner().invoke(app, ["doctor", "--stage", STAGE])
    finally:
        sqs.purge_queue(QueueUrl=deployed.queues["dead_letter"])
    assert done.exit_code == 1
    assert "fault: refused pass items or given-up pushes in the dead-letter queue: 1" in done.stdout
    assert "to do: see what they are: python -m infra push status" in done.stdout
    assert "1 fault, 0 warnings" in done.stdout


def test_a_warning_alone_ends_with_0(ward: Ward) -> None:
    with nobody_listens(ward):
        done = CliRunner().invoke(app, ["doctor", "--stage", STAGE])
    assert done.exit_code == 0, done.output
    assert "warning: nobody hears of alarms" in done.stdout
    assert "0 faults, 1 warning" in done.stdout


def test_no_secret_stands_in_what_is_found(ward: Ward) -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    with secret(ward, changed(private_key=pem)), keys(ward, '{"keys": [{"id": "1", "key": "c2VjcmV0"}]}'):
        found = " ".join(f"{finding.found} {finding.fix}" for finding in look(ward.stack))
    assert "its private key is not an unencrypted PEM key" in found
    assert "c2VjcmV0" not in found
