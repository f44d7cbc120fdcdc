"""Tests of `doctor`: it finds each fault that is caused in a stage, and nothing in a healthy one."""

import json
import secrets
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
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate, CertificateBuilder, random_serial_number
from typer.testing import CliRunner

from infra.commands import app
from infra.local import certificates
from infra.local.ministack import Ministack, set_binary_media_types
from infra.local.processes import free_port
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, LocalRun
from infra.operate.doctor.checks import CHECKS
from infra.operate.doctor.checks.web_service import check_download
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding
from infra.operate.doctor.run import run_checks
from infra.operate.history import History
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage.secrets import put_pass_type
from infra.stage.stage import Stage
from tests.support import samples
from tests.support.eventually import eventually
from tests.support.second_stage import STAGE, SecondStage, credentials

PRIVATE_KEY = "private_key"
pytestmark = pytest.mark.timeout(400)
"""The first test starts two stages, which takes minutes on a busy machine."""


@dataclass
class Deployment:
    """A deployed stage in which tests cause faults.

    Args:
        stage: the stage as it is.
        local: the local run that the stage belongs to.
        folder: contains the files of the stage's certificates, below `certificates`.
        seen_stage: the stage as the doctor is made to see it.
        clock: the doctor's clock.
    """

    stage: Stage
    local: LocalRun
    folder: Path
    seen_stage: Stage
    clock: Callable[[], float] = time.time

    def examine(self, *names: str) -> list[DoctorFinding]:
        """Run the checks of these names, or all."""
        checks = [check for check in CHECKS if check.name in names or not names]
        doctor = DoctorContext(self.seen_stage, clock=self.clock)
        results = run_checks(doctor, checks=checks, on_progress=lambda _: None)
        return [finding for result in results for finding in result.findings]

    def secret(self) -> dict[str, Any]:
        """Return the valid secret of the pass type."""
        return credentials(self.folder)

    def other_secret(self, name: str) -> dict[str, Any]:
        """Return a secret with the certificates of another authority."""
        folder = self.folder / name
        certificates.make_development_chain(
            folder, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        return credentials(folder)

    def secret_of_lifetime(self, lifetime: timedelta, *, begins_in: timedelta = timedelta(0)) -> dict[str, Any]:
        """Return a secret with a certificate of another authority that begins and ends at these times from now."""
        portal, key = certificates.Portal.open(), rsa.generate_private_key(public_exponent=65537, key_size=2048)
        own = portal.issue(
            key.public_key(),
            pass_type_identifier=PASS_TYPE_IDENTIFIER,
            team_identifier=TEAM_IDENTIFIER,
            lifetime=lifetime,
        )
        if begins_in:
            own = postponed(own, begins_in, portal)
        pem, intermediate = Encoding.PEM, portal.intermediate.certificate
        return {
            **self.secret(),
            "certificate": own.public_bytes(pem).decode(),
            PRIVATE_KEY: key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "intermediate": intermediate.public_bytes(pem).decode(),
        }


def postponed(certificate: Certificate, delay: timedelta, portal: certificates.Portal) -> Certificate:
    """Return a copy of a portal's certificate with later dates."""
    builder = (
        CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.issuer)
        .public_key(certificate.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(certificate.not_valid_before_utc + delay)
        .not_valid_after(certificate.not_valid_after_utc + delay)
    )
    for extension in certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(portal.intermediate.key, SHA256())


Break = Callable[[Deployment], AbstractContextManager[None]]


@contextmanager
def secret(
    deployment: Deployment, change: Callable[[Deployment], dict[str, Any]], *, name: str = PASS_TYPE_IDENTIFIER
) -> Iterator[None]:
    put_pass_type(STAGE, name, change(deployment))
    try:
        yield
    finally:
        if name == PASS_TYPE_IDENTIFIER:
            put_pass_type(STAGE, name, deployment.secret())
        else:
            boto3.client("secretsmanager").delete_secret(
                SecretId=f"passwire/{STAGE}/pass-types/{name}", ForceDeleteWithoutRecovery=True
            )


@contextmanager
def stopped_by_recursion_detection(deployment: Deployment) -> Iterator[None]:
    client, name = boto3.client("lambda"), deployment.stage.functions["push_worker"]
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Terminate")
    try:
        yield
    finally:
        client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")


@contextmanager
def keys(deployment: Deployment, text: str) -> Iterator[None]:
    assert deployment
    client, name = boto3.client("secretsmanager"), f"passwire/{STAGE}/authentication-keys"
    before = client.get_secret_value(SecretId=name)["SecretString"]
    client.put_secret_value(SecretId=name, SecretString=text)
    try:
        yield
    finally:
        client.put_secret_value(SecretId=name, SecretString=before)


@contextmanager
def variables(
    deployment: Deployment, role: str, change: Callable[[dict[str, str], Deployment], dict[str, str]]
) -> Iterator[None]:
    client, name = boto3.client("lambda"), deployment.stage.functions[role]
    before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": change(dict(before), deployment)})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def url(text: str) -> Break:
    """Make passes contain this URL."""
    return partial(variables, role="api", change=lambda before, _: {**before, "PASSWIRE_WEB_SERVICE_URL": text})


@contextmanager
def item(deployment: Deployment, **attributes: Any) -> Iterator[None]:  # noqa: ANN401 - a pipeline may write any value
    table = boto3.resource("dynamodb").Table(deployment.stage.tables["passes"])
    key = {"pass_id": f"{PASS_TYPE_IDENTIFIER}/{secrets.token_hex(4)}"} | {
        name: value for name, value in attributes.items() if name == "pass_id"
    }
    table.put_item(Item={"template": deployment.local.template, **attributes, **key})
    try:
        yield
    finally:
        table.delete_item(Key=key)


@contextmanager
def miscount(deployment: Deployment) -> Iterator[None]:
    """Count a holder of a pass that no device holds."""
    counts = boto3.resource("dynamodb").Table(deployment.stage.tables["counts"])
    pass_id = f"{PASS_TYPE_IDENTIFIER}/{secrets.token_hex(4)}"
    counts.put_item(Item={"id": pass_id, "holders": 1})
    with item(deployment, pass_id=pass_id):
        yield
    counts.delete_item(Key={"id": pass_id})


@contextmanager
def wrong_total(deployment: Deployment) -> Iterator[None]:
    """Count a holder of a template whose passes no device holds."""
    counts = boto3.resource("dynamodb").Table(deployment.stage.tables["counts"])
    counts.put_item(Item={"id": f"{PASS_TYPE_IDENTIFIER}/held", "holders": 2, "template": "other"})
    counts.put_item(Item={"id": f"total:{PASS_TYPE_IDENTIFIER}/other", "holders": 3})
    yield
    for key in (f"{PASS_TYPE_IDENTIFIER}/held", f"total:{PASS_TYPE_IDENTIFIER}/other"):
        counts.delete_item(Key={"id": key})


@contextmanager
def missing_bus(deployment: Deployment) -> Iterator[None]:
    events, name = boto3.client("events"), deployment.stage.output("EventBusName")
    events.delete_event_bus(Name=name)
    try:
        yield
    finally:
        events.create_event_bus(Name=name)


@contextmanager
def ordinary_certificate(deployment: Deployment) -> Iterator[None]:
    """Give the pass type a certificate that cannot sign passes with NFC, and write such a pass."""
    with secret(deployment, lambda d: d.secret_of_lifetime(timedelta(days=300))), item(deployment, template="rewards"):
        yield


@contextmanager
def refused_item(deployment: Deployment, **attributes: Any) -> Iterator[None]:  # noqa: ANN401 - a pipeline may write any value
    """Write an item that the push function moves to the dead-letter queue, and delete it after that.

    The push function does not report an item that was deleted before it could read it.
    """
    with item(deployment, **attributes):
        yield
        eventually(lambda: _letters(deployment), "the message in the dead-letter queue")
    boto3.client("sqs").purge_queue(QueueUrl=deployment.stage.queues["dead_letter"])


def _letters(deployment: Deployment) -> int:
    name = "ApproximateNumberOfMessages"
    found = boto3.client("sqs").get_queue_attributes(
        QueueUrl=deployment.stage.queues["dead_letter"], AttributeNames=[name]
    )
    return int(found["Attributes"][name])


@contextmanager
def message(deployment: Deployment, queue: str) -> Iterator[None]:
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=deployment.stage.queues[queue], MessageBody="{}")
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=deployment.stage.queues[queue])


@contextmanager
def metric(
    deployment: Deployment, namespace: str, name: str, dimension: str, named: Callable[[Deployment], str], value: float
) -> Iterator[None]:
    cloudwatch = boto3.client("cloudwatch")
    data = {"MetricName": name, "Dimensions": [{"Name": dimension, "Value": named(deployment)}]}

    def put(figure: float, at: datetime) -> None:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{**data, "Value": figure, "Timestamp": at}])

    # Ten minutes ago is within the period that the doctor reads, but not within that of an alarm.
    put(value, datetime.now(UTC) - timedelta(minutes=10))
    yield
    put(0, datetime.now(UTC))


@contextmanager
def table(
    deployment: Deployment, role: str, off: Callable[[Any, str], object], on: Callable[[Any, str], object]
) -> Iterator[None]:
    client, name = boto3.client("dynamodb"), deployment.stage.tables[role]
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
def mapping(deployment: Deployment, role: str, broken: dict[str, Any], whole: dict[str, Any]) -> Iterator[None]:
    client = boto3.client("lambda")
    (found,) = client.list_event_source_mappings(FunctionName=deployment.stage.functions[role])["EventSourceMappings"]

    def update(changes: dict[str, Any]) -> None:
        """Lambda refuses an update while it carries out another."""
        client.update_event_source_mapping(UUID=found["UUID"], **changes)
        settled = ("Enabled", "Disabled")
        eventually(lambda: client.get_event_source_mapping(UUID=found["UUID"])["State"] in settled, "the update")

    update(broken)
    try:
        yield
    finally:
        update(whole)


@contextmanager
def output(deployment: Deployment, **outputs: Callable[[Stage], str]) -> Iterator[None]:
    """Replace outputs of the stage that the doctor sees."""
    changed = {**deployment.stage.outputs, **{name: value(deployment.stage) for name, value in outputs.items()}}
    deployment.seen_stage = replace(deployment.stage, outputs=changed)
    yield


@contextmanager
def binary_types(deployment: Deployment) -> Iterator[None]:
    """Remove the API's binary media types, which are missing until `finish` has run."""
    api_id = deployment.stage.outputs["RestAPIId"]
    ministack = Ministack(deployment.local.aws_endpoint_url)
    set_binary_media_types(ministack, api_id, [])
    try:
        yield
    finally:
        set_binary_media_types(ministack, api_id, ["*/*"])


@contextmanager
def pushed_template(deployment: Deployment) -> Iterator[None]:
    """Push a template without checking it."""
    name = f"t-{secrets.token_hex(4)}"
    files = samples.files_of("generic")
    files["icon.png"] = b"GIF89a"
    TemplatesBucket(deployment.stage).push(name, files, on_progress=lambda _: None)
    try:
        yield
    finally:
        for key in boto3.client("s3").list_objects_v2(
            Bucket=deployment.stage.templates_bucket, Prefix=f"templates/{name}/"
        )["Contents"]:
            boto3.client("s3").delete_object(Bucket=deployment.stage.templates_bucket, Key=key["Key"])


@contextmanager
def wrong_clock(deployment: Deployment) -> Iterator[None]:
    deployment.clock = lambda: time.time() + 90
    yield


@contextmanager
def alarm_on(deployment: Deployment) -> Iterator[None]:
    assert deployment
    cloudwatch = boto3.client("cloudwatch")
    names = [
        alarm["AlarmName"] for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=f"passwire-{STAGE}-")["MetricAlarms"]
    ]
    name = next(name for name in names if "StreamAge" in name)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


@contextmanager
def unsubscribed(deployment: Deployment) -> Iterator[None]:
    sns = boto3.client("sns")
    topic = deployment.stage.outputs["AlarmTopicArn"]
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    yield
    sns.subscribe(TopicArn=topic, Protocol=subscription["Protocol"], Endpoint=subscription["Endpoint"])


def changed(**changes: Any) -> Callable[[Deployment], dict[str, Any]]:  # noqa: ANN401 - a secret's content
    return lambda deployment: {**deployment.secret(), **changes}


def other_team(deployment: Deployment) -> dict[str, Any]:
    good = deployment.secret()
    return {**good, "apns": {**good["apns"], "team_identifier": "OTHERTEAM1"}}


def other_provider_key(deployment: Deployment) -> dict[str, Any]:
    return {**deployment.secret(), "apns": deployment.other_secret("key")["apns"]}


def without(name: str) -> Callable[[dict[str, str], Deployment], dict[str, str]]:
    return lambda before, _: {key: value for key, value in before.items() if key != name}


def with_(name: str, value: str) -> Callable[[dict[str, str], Deployment], dict[str, str]]:
    return lambda before, _: {**before, name: value}


def missing_api(before: dict[str, str], deployment: Deployment) -> dict[str, str]:
    """Name an API that does not exist in the stage's API Gateway."""
    return {
        **before,
        "PASSWIRE_WEB_SERVICE_URL": deployment.local.aws_endpoint_url + "/restapis/unknown/api/_user_request_",
    }


def untrusted(before: dict[str, str], deployment: Deployment) -> dict[str, str]:
    """Name a server whose TLS certificate no phone trusts."""
    return {**before, "PASSWIRE_WEB_SERVICE_URL": deployment.local.apns_url}


UNREACHED = f"https://127.0.0.1:{free_port()}"
NEW_KEYS = json.dumps({"keys": [{"id": "9", "key": "A" * 43 + "="}]})
FAULTS: dict[str, tuple[str, Break, str]] = {
    "passes without a certificate": (
        "certificates",
        partial(item, pass_id="pass.example.other/1"),
        "pass type pass.example.other: has passes, but no certificate",
    ),
    "another type's certificate": (
        "certificates",
        partial(secret, change=changed(), name="pass.example.renamed"),
        f"pass type pass.example.renamed: its certificate belongs to {PASS_TYPE_IDENTIFIER}",
    ),
    "another certificate's key": (
        "certificates",
        partial(
            secret,
            change=lambda deployment: {**deployment.secret(), PRIVATE_KEY: deployment.other_secret("a")[PRIVATE_KEY]},
        ),
        "the private key is not the certificate's",
    ),
    "another generation's intermediate": (
        "certificates",
        partial(
            secret,
            change=lambda deployment: {
                **deployment.secret(),
                "intermediate": deployment.other_secret("b")["intermediate"],
            },
        ),
        "import the WWDR certificate of the right generation",
    ),
    "not Apple's": (
        "certificates",
        partial(secret, change=lambda deployment: deployment.other_secret("c")),
        "do not trust",
    ),
    "expired": (
        "certificates",
        partial(secret, change=lambda deployment: deployment.secret_of_lifetime(timedelta(minutes=30))),
        "its certificate expired on",
    ),
    "soon expired": (
        "certificates",
        partial(secret, change=lambda deployment: deployment.secret_of_lifetime(timedelta(days=8, hours=3))),
        "its certificate expires in 8 days",
    ),
    "not valid yet": (
        "certificates",
        partial(
            secret,
            change=lambda deployment: deployment.secret_of_lifetime(timedelta(days=300), begins_in=timedelta(days=2)),
        ),
        "its certificate is not valid before",
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
            variables,
            role="push_worker",
            change=with_("PASSWIRE_APNS_URL", "https://api.sandbox.push.apple.com:443"),  # prose: Apple's host
        ),
        "function push_worker: does not push to Apple's production host: 'https://api.sandbox",  # prose: Apple's host
    ),
    "another server in place of APNs": (
        "apns",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_CA", "")),
        "answers UntrustedServer",
    ),
    "roots that do not lead to APNs": (
        "apns-roots",
        partial(variables, role="push", change=with_("PASSWIRE_APNS_CA", "")),
        "the functions do not trust",
    ),
    "recursion detection of the push worker": (
        "functions",
        stopped_by_recursion_detection,
        "recursion detection stops it after about 16 rounds",
    ),
    "broken authentication keys": ("authentication-keys", partial(keys, text="{}"), "must be"),
    "http": ("web-service-url", url("http://passes.example.com"), "but phones call https URLs only"),
    "/v1": ("web-service-url", url("https://passes.example.com/v1"), "and so call /v1/v1"),
    "another API": (
        "web-service-url",
        url("https://zzz.execute-api.eu-central-1.amazonaws.com/api"),
        "but this stage's API is",
    ),
    "a domain of another account": (
        "web-service-url",
        url("https://passes.example.com"),
        "not a domain of API Gateway",
    ),
    "no such API": ("gateway", partial(variables, role="api", change=missing_api), "not 204"),
    "an API out of reach": ("gateway", url(UNREACHED), "cannot be reached: ConnectError"),
    "an untrusted API": (
        "gateway",
        partial(variables, role="api", change=untrusted),
        "phones do not trust its TLS certificate",
    ),
    "binary types lost": ("download", binary_types, "the download is not a pass"),
    "new authentication keys": ("download", partial(keys, text=NEW_KEYS), "refuses its authentication token"),
    "a pass that needs an NFC certificate": (
        "certificates",
        ordinary_certificate,
        "of template rewards: its nfc needs an NFC certificate",
    ),
    "a pass that cannot be made": (
        "download",
        partial(refused_item, fields={"unknown": "x"}),
        "cannot be downloaded, status 500",
    ),
    "no recovery": (
        "tables",
        partial(table, role="devices", off=recovery(enabled=False), on=recovery(enabled=True)),
        "table passwire-second-devices: has no point-in-time recovery",
    ),
    "no expiry": (
        "tables",
        partial(table, role="passes", off=expiry(enabled=False), on=expiry(enabled=True)),
        "does not delete expired items",
    ),
    "no protection": (
        "tables",
        partial(table, role="versions", off=protection(enabled=False), on=protection(enabled=True)),
        "table passwire-second-versions: has no deletion protection",
    ),
    "no table": ("tables", partial(output, DevicesTableName=lambda _: "nowhere"), "table nowhere: is missing"),
    "no stream": (
        "tables",
        partial(output, PassesTableName=lambda stack: stack.tables["devices"]),
        "its stream is off, not NEW_AND_OLD_IMAGES",
    ),
    "a mapping that is off": (
        "mappings",
        partial(mapping, role="push", broken={"Enabled": False}, whole={"Enabled": True}),
        "function push: is not invoked, its event source mapping is Disabled",
    ),
    "another number of readers": (
        "mappings",
        partial(mapping, role="push", broken={"ParallelizationFactor": 1}, whole={"ParallelizationFactor": 4}),
        "has ParallelizationFactor 1, not 4",
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
        "function push: its event source mapping",
    ),
    "the stream of a deleted table": (
        "mappings",
        partial(output, PassesTableName=lambda stack: stack.tables["versions"]),
        "which is no longer written to",
    ),
    "an old iterator": (
        "lag",
        partial(
            metric,
            namespace="AWS/Lambda",
            name="IteratorAge",
            dimension="FunctionName",
            named=lambda deployment: deployment.stage.functions["push"],
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
            named=lambda deployment: deployment.stage.queues["push"].rpartition("/")[2],
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
    "undelivered events": (
        "lag",
        partial(message, queue="event_failure"),
        "events about phones that the event bus did not accept: 1 messages",
    ),
    "a wrong count": ("events", miscount, "its count of holders is not the number of its registrations"),
    "a wrong total": ("events", wrong_total, "template other: its total is 3 holders, but its passes have 2"),
    "a deleted bus": ("events", missing_bus, "event bus passwire-second: is missing"),
    "a dead letter": (
        "lag",
        partial(message, queue="dead_letter"),
        "invalid pass items or given-up pushes in the dead-letter queue: 1",
    ),
    "a variable that is missing": (
        "functions",
        partial(variables, role="push_worker", change=without("PASSWIRE_PUSH_QUEUE_URL")),
        "function push_worker: its environment lacks PASSWIRE_PUSH_QUEUE_URL",
    ),
    "a window that is too short": (
        "functions",
        partial(variables, role="api", change=with_("PASSWIRE_PUSH_TIMEOUT_SECONDS", "5")),
        "function api: assumes that a push ends within 5 s",
    ),
    "another stage's table": (
        "functions",
        partial(variables, role="push", change=with_("PASSWIRE_DEVICES_TABLE", "passwire-local-devices")),
        "uses passwire-local-devices as its devices table",
    ),
    "a template that was never pushed": (
        "templates",
        partial(refused_item, template="nowhere"),
        "template nowhere: passes use it, but it does not exist",
    ),
    "a template that phones refuse": ("templates", pushed_template, "icon.png: is not a PNG"),
    "a wrong clock": ("clock", wrong_clock, "s ahead of AWS's"),
    "an alarm": ("alarms", alarm_on, "alarm StreamAge is on"),
    "no subscription to alarms": ("alarms", unsubscribed, "alarms reach no person"),
}


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
