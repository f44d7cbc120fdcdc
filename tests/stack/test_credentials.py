"""Credentials in a warm execution environment: several teams, rotation, expiry, invalid secrets."""

import contextlib
import gc
import io
import json
import secrets
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509 import Certificate

from chalicelib.apns.client import Client
from chalicelib.apns.outcomes import Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.secrets import KEEP_SECONDS, Secrets
from chalicelib.container import Services
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import PassId, PushToken
from chalicelib.passes.signing import Signer
from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, LIFETIME, DevelopmentChain, Portal
from infra.local.run import LocalRun
from infra.stage.secrets import put_pass_type
from tests.support.eventually import eventually
from tests.support.first_events import EVERY_DAY
from tests.support.in_process import InProcess

TEAM_A, TEAM_B = "TEAMAAAAAA", "TEAMBBBBBB"
EXPIRED = timedelta(minutes=30)
"""The lifetime of a certificate that has expired."""


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Team:
    """A team with certificates of a portal, which it stores as secrets of the stage."""

    stack: LocalRun
    identifier: str
    portal: Portal
    pass_type_identifier: str = field(default_factory=lambda: f"pass.dev.t{secrets.token_hex(4)}")

    def stores(self, *, lifetime: timedelta = LIFETIME, of: str | None = None, **more: object) -> Certificate:
        """Store a new certificate with a new key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self.portal.issue(
            key.public_key(),
            pass_type_identifier=of or self.pass_type_identifier,
            team_identifier=self.identifier,
            lifetime=lifetime,
        )
        content = {
            "certificate": certificate.public_bytes(Encoding.PEM).decode(),
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "intermediate": self.portal.intermediate.certificate.public_bytes(Encoding.PEM).decode(),
        }
        put_pass_type(self.stack.stage, self.pass_type_identifier, {**content, **more})
        return certificate

    def leaves(self) -> None:
        client = boto3.client("secretsmanager")
        for kind in ("pass-types", "apns-keys"):
            with contextlib.suppress(client.exceptions.ResourceNotFoundException):
                client.delete_secret(
                    SecretId=f"passwire/{self.stack.stage}/{kind}/{self.pass_type_identifier}",
                    ForceDeleteWithoutRecovery=True,
                )


@pytest.fixture
def portal() -> Portal:
    return Portal.open()


@pytest.fixture
def teams(stack: LocalRun, portal: Portal) -> Iterator[tuple[Team, Team]]:
    """Two teams with a pass type each; their secrets are deleted after the test."""
    both = Team(stack, TEAM_A, portal), Team(stack, TEAM_B, Portal.open())
    yield both
    for team in both:
        team.leaves()


@pytest.fixture
def apns(tmp_path: Path, chain: DevelopmentChain, teams: tuple[Team, Team]) -> Iterator[ApnsStandIn]:
    """An APNs stand-in that trusts both teams' certificates and the chain's provider key."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(b"".join(team.portal.intermediate.certificate.public_bytes(Encoding.PEM) for team in teams))
    with ApnsStandIn.start(
        certificate=chain.apns_server_certificate,
        private_key=chain.apns_server_key,
        client_ca=trusted,
        provider_keys={KEY_ID: chain.provider_public_key},
    ) as stand_in:
        yield stand_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(stack: LocalRun, apns: ApnsStandIn, chain: DevelopmentChain, clock: Clock) -> InProcess:
    """An execution environment that pushes to the stand-in, and whose secrets expire by `clock`."""
    service = InProcess(stack, PASSWIRE_APNS_URL=apns.apns_url, PASSWIRE_APNS_CA=chain.root.read_text())
    service.app.services.secrets = Secrets(stage=stack.stage, clock=clock)
    return service


@pytest.fixture
def services(service: InProcess) -> Services:
    warm: Services = service.app.services
    return warm


def pushes(client: Client, topic: str) -> tuple[OutcomeKind, str | None]:
    push = Push(PushToken(secrets.token_hex(32)), topic)
    (outcome,) = client.push([push], deadline=time.monotonic() + 10)
    return outcome.kind, outcome.reason


def open_connections(apns: ApnsStandIn) -> int:
    return int(httpx.get(f"{apns.control_url}/summary").json()["open_connections"])


def serial_numbers(signature: bytes) -> set[int]:
    return {certificate.serial_number for certificate in pkcs7.load_der_pkcs7_certificates(signature)}


def downloads(service: InProcess, stack: LocalRun, pass_id: PassId) -> Any:  # noqa: ANN401
    boto3.resource("dynamodb").Table(stack.tables["passes"]).put_item(
        Item={"pass_id": str(pass_id), "template": stack.template}
    )
    token = Secrets(stage=stack.stage).authentication_keys().issue(pass_id, item_token=None).value
    return service.calls(
        "GET",
        "/v1/passes/{pass_type_identifier}/{serial_number}",
        pass_id.pass_type_identifier,
        pass_id.serial_number,
        headers={"Authorization": f"ApplePass {token}"},
    )


def test_each_team_signs_and_pushes_with_its_own_certificate(
    stack: LocalRun, service: InProcess, services: Services, teams: tuple[Team, Team], serial_number: str
) -> None:
    for team in teams:
        certificate = team.stores()
        answer = downloads(service, stack, PassId(team.pass_type_identifier, serial_number))
        assert answer.status == 200, answer.body
        with zipfile.ZipFile(io.BytesIO(answer.body)) as members:
            assert certificate.serial_number in serial_numbers(members.read("signature"))
            assert json.loads(members.read("pass.json"))["teamIdentifier"] == team.identifier
    mine, other = (services.client_for(team.pass_type_identifier) for team in teams)
    assert mine is not other
    for client, team in zip((mine, other), teams, strict=True):
        assert pushes(client, team.pass_type_identifier) == (OutcomeKind.DELIVERED, None)
    assert pushes(mine, teams[1].pass_type_identifier)[0] is OutcomeKind.CONFIGURATION


def test_rotated_secret_is_used_within_five_minutes_and_the_old_connection_is_closed(
    services: Services, teams: tuple[Team, Team], clock: Clock, apns: ApnsStandIn
) -> None:
    assert KEEP_SECONDS == 300
    team, name = teams[0], teams[0].pass_type_identifier
    first = team.stores()
    teams[1].stores()
    signer, client = services.signer_for(name), services.client_for(name)
    assert pushes(client, name) == (OutcomeKind.DELIVERED, None)
    second = team.stores()
    clock.now += KEEP_SECONDS - 1
    assert (services.signer_for(name), services.client_for(name)) == (signer, client)
    clock.now += 1
    now = datetime.now(UTC)
    assert first.serial_number in serial_numbers(signer.sign(b"{}", at=now))
    assert second.serial_number in serial_numbers(services.signer_for(name).sign(b"{}", at=now))
    assert open_connections(apns) == 1
    successor = services.client_for(name)
    eventually(lambda: open_connections(apns) == 0, "the end of the old connection")
    assert pushes(successor, name) == (OutcomeKind.DELIVERED, None)
    assert services.client_for(name) is successor


def test_rotated_secret_is_read_by_whichever_clock_has_moved(stack: LocalRun, teams: tuple[Team, Team]) -> None:
    """The monotonic clock of a frozen execution environment may stop; the wall clock may be set back."""
    clock, timer = Clock(), Clock()
    secrets = Secrets(stage=stack.stage, clock=clock, timer=timer)
    teams[1].stores()
    for moved, other in ((clock, timer), (timer, clock)):
        teams[0].stores()
        secrets.pass_type(teams[0].pass_type_identifier)
        teams[0].stores()
        before = secrets.pass_type(teams[0].pass_type_identifier)
        moved.now += KEEP_SECONDS
        other.now -= 1
        assert secrets.pass_type(teams[0].pass_type_identifier) != before


def test_rotations_leave_no_old_signers_and_clients(services: Services, teams: tuple[Team, Team], clock: Clock) -> None:
    name = teams[0].pass_type_identifier
    teams[1].stores()

    def alive(kind: type) -> int:
        gc.collect()
        return sum(isinstance(found, kind) for found in gc.get_objects())

    before = {kind: alive(kind) for kind in (Signer, Client)}
    for _ in range(4):
        teams[0].stores()
        clock.now += KEEP_SECONDS
        services.signer_for(name).sign(b"{}", at=datetime.now(UTC))
        pushes(services.client_for(name), name)
    assert {kind: alive(kind) - before[kind] for kind in before} == {Signer: 1, Client: 1}


def test_apns_key_is_not_in_the_secret_that_signs(
    stack: LocalRun, services: Services, teams: tuple[Team, Team], chain: DevelopmentChain, clock: Clock
) -> None:
    """The API function may read the pass type's secret only; a key that an earlier release put there is still used."""
    key = {"team_identifier": TEAM_A, "key_id": KEY_ID, "private_key": chain.provider_key.read_text()}
    for team in teams:
        team.stores(apns=key)
    name = teams[0].pass_type_identifier
    client = boto3.client("secretsmanager")
    secret = f"passwire/{stack.stage}/pass-types/{name}"
    stored = json.loads(client.get_secret_value(SecretId=secret)["SecretString"])
    assert stored["apns"] == {"team_identifier": TEAM_A, "key_id": KEY_ID}
    assert pushes(services.client_for(name), name) == (OutcomeKind.DELIVERED, None)
    client.put_secret_value(SecretId=secret, SecretString=json.dumps({**stored, "apns": key}))
    clock.now += KEEP_SECONDS
    assert pushes(services.client_for(name), name) == (OutcomeKind.DELIVERED, None)


def test_pass_types_with_the_same_key_share_a_connection_until_none_uses_it(
    services: Services, teams: tuple[Team, Team], chain: DevelopmentChain, clock: Clock, apns: ApnsStandIn
) -> None:
    one, two = teams
    key = {"team_identifier": TEAM_A, "key_id": KEY_ID, "private_key": chain.provider_key.read_text()}
    for team in teams:
        team.stores(apns=key)
    shared = services.client_for(one.pass_type_identifier)
    assert services.client_for(two.pass_type_identifier) is shared
    assert pushes(shared, one.pass_type_identifier) == (OutcomeKind.DELIVERED, None)
    one.stores()
    clock.now += KEEP_SECONDS
    assert services.client_for(one.pass_type_identifier) is not shared
    assert services.client_for(two.pass_type_identifier) is shared
    assert open_connections(apns) == 1
    two.stores()
    clock.now += KEEP_SECONDS
    assert services.client_for(two.pass_type_identifier) is not shared
    eventually(lambda: open_connections(apns) == 0, "the end of the shared connection")


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (lambda team: team.stores(lifetime=EXPIRED), "its certificate is valid from"),
        (
            lambda team: Team(team.stack, TEAM_A, Portal.open(lifetime=EXPIRED), team.pass_type_identifier).stores(),
            "its WWDR intermediate is valid from",
        ),
    ],
)
def test_download_with_an_expired_certificate_or_intermediate_logs_the_remedy(
    ended: Callable[[Team], object],
    said: str,
    stack: LocalRun,
    service: InProcess,
    teams: tuple[Team, Team],
    serial_number: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    team = teams[0]
    teams[1].stores()
    ended(team)
    answer = downloads(service, stack, PassId(team.pass_type_identifier, serial_number))
    assert answer.status == 500
    assert len(answer.body) < 200
    (failed,) = [line for line in logged(capsys) if line.get("event") == "request_failed"]
    assert f"pass type {team.pass_type_identifier}: {said}" in failed["error"]
    assert "and import it" in failed["error"]


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_daily_check_measures_the_days_left_of_every_pass_type(
    service: InProcess, teams: tuple[Team, Team], stack: LocalRun, capsys: pytest.CaptureFixture[str]
) -> None:
    teams[0].stores(lifetime=timedelta(days=20, hours=3))
    short_lived = Team(stack, TEAM_B, Portal.open(lifetime=timedelta(days=10, hours=3)), teams[1].pass_type_identifier)
    short_lived.stores()
    expired, broken, mismatched = (Team(stack, TEAM_A, teams[0].portal) for _ in range(3))
    expired.stores(lifetime=EXPIRED)
    broken.stores(private_key="not a key")
    mismatched.stores(of=expired.pass_type_identifier)
    try:
        service.invoke("check_certificates", EVERY_DAY)
    finally:
        for team in (expired, broken, mismatched):
            team.leaves()
    written = [line for line in logged(capsys) if "CertificateDaysLeft" in line]
    days = {line["PassTypeIdentifier"]: line["CertificateDaysLeft"] for line in written}
    assert days[teams[0].pass_type_identifier] == 20
    assert days[teams[1].pass_type_identifier] == 10, "the intermediate ends first"
    assert days[expired.pass_type_identifier] == -1
    assert (days[broken.pass_type_identifier], days[mismatched.pass_type_identifier]) == (0, 0)
    assert days[stack.pass_type_identifier] > 390
    (directive,) = written[0]["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Stage"], ["Stage", "PassTypeIdentifier"]]


def test_deployed_check_runs_every_day(stack: LocalRun) -> None:
    answer = boto3.client("lambda").invoke(
        FunctionName=stack.functions["check_certificates"], Payload=json.dumps(EVERY_DAY), LogType="Tail"
    )
    assert "FunctionError" not in answer, answer["Payload"].read()
    events = boto3.client("events")
    rules = {rule["Name"]: rule for rule in events.list_rules()["Rules"]}
    (watching,) = [
        rules[name]
        for name in rules
        if stack.functions["check_certificates"] in str(events.list_targets_by_rule(Rule=name)["Targets"])
    ]
    assert watching["ScheduleExpression"] == "rate(1 day)"


@pytest.mark.usefixtures("stack")
def test_pass_types_of_the_stage_are_listed_over_several_pages() -> None:
    """ListSecrets returns at most a hundred secrets per page."""
    client = boto3.client("secretsmanager")
    stage = f"t{secrets.token_hex(4)}"
    wanted = [f"pass.dev.{number:03}" for number in range(103)]
    names = [f"passwire/{stage}/pass-types/{name}" for name in wanted]
    strangers = [f"passwire/{stage}/authentication-keys", f"passwire/{stage}-2/pass-types/pass.dev.other"]
    for name in (*names, *strangers):
        client.create_secret(Name=name, SecretString="{}")
    try:
        assert Secrets(stage=stage).pass_types() == wanted
    finally:
        for name in (*names, *strangers):
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_missing_secret_of_a_pass_type_is_named(services: Services, teams: tuple[Team, Team]) -> None:
    for team in teams:
        team.stores()
    with pytest.raises(ConfigurationError, match=r"pass-types/pass\.dev\.unknown is missing"):
        services.signer_for("pass.dev.unknown")


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "text", ["", "[]", "7", "{" * 2000, "[" * 100_000, '{"keys": {}}', '{"keys": [[]]}', '{"certificate": 1}']
)
def test_invalid_secret_is_a_configuration_error(text: str) -> None:
    client = boto3.client("secretsmanager")
    stage = f"t{secrets.token_hex(4)}"
    names = [f"passwire/{stage}/{name}" for name in ("authentication-keys", "pass-types/pass.a")]
    for name in names:
        client.create_secret(Name=name, SecretString=text or " ")
    try:
        with pytest.raises(ConfigurationError):
            Secrets(stage=stage).authentication_keys()
        with pytest.raises(ConfigurationError):
            Secrets(stage=stage).pass_type("pass.a")
    finally:
        for name in names:
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
