"""Rotation and revocation of every key of a stage, by its command, while a phone holds a pass and notices nothing."""

import io
import json
import secrets
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs7
from typer.testing import CliRunner, Result

from chalicelib.apns.outcomes import Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.secrets import KEEP_SECONDS, Secrets
from chalicelib.core.identifiers import PassId, PushToken
from infra.commands import app
from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, DevelopmentChain, Portal, keep_development_chain
from infra.local.phone import Phone, PhoneError
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, LocalRun
from infra.operate.keys import DELAY_SECONDS
from tests.support.eventually import eventually
from tests.support.gateway import Gateway, gateway
from tests.support.in_process import InProcess

NEW_KEY_ID = "NEWAPNSKEY"
FIRST_KEY = "1"


@dataclass
class Clock:
    """The clock by which the service's cached secrets expire."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


class Team:
    """Operates a pass type of its own with the command line, and changes a pass of it."""

    def __init__(self, stack: LocalRun, chain: DevelopmentChain, folder: Path) -> None:
        self.stack = stack
        self.portal = Portal.load(folder / "certificates")
        self.pass_type = f"pass.dev.t{secrets.token_hex(4)}"
        self.serial_number = secrets.token_hex(8)
        self.folder = folder / self.pass_type
        self.folder.mkdir()
        wwdr = self._file("wwdr.cer", self.portal.intermediate.certificate.public_bytes(Encoding.DER))
        apns_key = self._file(f"AuthKey_{KEY_ID}.p8", chain.provider_key.read_bytes())
        self.runs("cert", "import", self.pass_type, *self.certificate(), wwdr, apns_key)

    def runs(self, *arguments: object) -> Any:  # noqa: ANN401
        """Run a command that succeeds; returns its JSON."""
        done = self.tries(*arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    def tries(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments), "--stage", self.stack.stage, "--json"])

    def certificate(self) -> list[Path]:
        """Get another certificate for a new key from the portal; returns its files."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.issued = self.portal.issue(
            key.public_key(), pass_type_identifier=self.pass_type, team_identifier=TEAM_IDENTIFIER
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return [
            self._file("pass.cer", self.issued.public_bytes(Encoding.DER)),
            self._file("pass.key", private),
        ]

    def writes(self, gate: str) -> None:
        item = {
            "pass_id": f"{self.pass_type}/{self.serial_number}",
            "template": self.stack.template,
            "fields": {"gate": gate},
        }
        boto3.resource("dynamodb").Table(self.stack.tables["passes"]).put_item(Item=item)

    def link(self, url: str) -> str:
        """Make a download link that leads to the service at a URL."""
        made = self.runs("pass", "link", PassId(self.pass_type, self.serial_number))
        return f"{url}/p/{made['link'].rpartition('/')[2]}"

    def leaves(self, *, authentication_keys: str) -> None:
        boto3.resource("dynamodb").Table(self.stack.tables["passes"]).delete_item(
            Key={"pass_id": f"{self.pass_type}/{self.serial_number}"}
        )
        client = boto3.client("secretsmanager")
        client.put_secret_value(
            SecretId=f"passwire/{self.stack.stage}/authentication-keys", SecretString=authentication_keys
        )
        for kind in ("pass-types", "apns-keys"):
            name = f"passwire/{self.stack.stage}/{kind}/{self.pass_type}"
            client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    def _file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


class Scene:
    """A warm service, a phone that holds a pass, and the team."""

    def __init__(self, team: Team, served: Gateway, apns: "AppleSide", chain: DevelopmentChain) -> None:
        self.team = team
        self.apns = apns
        self.url = served.url
        self.clock = Clock()
        self.service = served.service = InProcess(
            team.stack,
            PASSWIRE_WEB_SERVICE_URL=served.url,
            PASSWIRE_APNS_URL=apns.url,
            PASSWIRE_APNS_CA=chain.root.read_text(),
        )
        self.service.app.services.secrets = Secrets(stage=team.stack.stage, clock=self.clock)
        self.phone = Phone()
        team.writes("A0")
        self.first_link = team.link(self.url)
        assert self.phone.opens(self.first_link) == 201

    def passes(self, seconds: float) -> None:
        """Let time pass for the service's caches, counted from now on."""
        self.clock.now = max(self.clock.now, time.time()) + seconds

    def phone_notices_nothing(self, gate: str) -> None:
        """A change reaches the phone by a push, and the link that it was added with is valid."""
        self.team.writes(gate)
        push = Push(PushToken(self.phone.push_token), self.team.pass_type)
        client = self.service.app.services.client_for(self.team.pass_type)
        (outcome,) = client.push([push], deadline=time.monotonic() + 10)
        assert (outcome.kind, outcome.reason) == (OutcomeKind.DELIVERED, None)
        shown = eventually(lambda: self.phone.receives_push(self.team.pass_type), "the change on the phone")
        assert shown == [f"Gate changed to {gate}"]
        assert Phone().opens(self.first_link) == 201

    def held(self, phone: Phone) -> Any:  # noqa: ANN401
        return phone.passes[self.team.pass_type, self.team.serial_number]


@pytest.fixture
def chain_of_stack(stack: LocalRun, stack_folder: Path) -> DevelopmentChain:
    assert stack
    return keep_development_chain(
        stack_folder / "certificates", pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
    )


@pytest.fixture
def team(stack: LocalRun, stack_folder: Path, chain_of_stack: DevelopmentChain) -> Iterator[Team]:
    secret = f"passwire/{stack.stage}/authentication-keys"
    before = boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    team = Team(stack, chain_of_stack, stack_folder)
    yield team
    team.leaves(authentication_keys=before)


class AppleSide:
    """APNs and the portal's APNs keys: the stage's, and a new one."""

    def __init__(self, chain: DevelopmentChain, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = folder / "public.pem"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.new_key = folder / f"AuthKey_{NEW_KEY_ID}.p8"
        self.new_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._chain = chain
        self._keys = {KEY_ID: chain.provider_public_key, NEW_KEY_ID: public}
        self._stand_in = self._start(0)
        self.url = self._stand_in.apns_url

    def revokes(self, key_id: str) -> None:
        """Accept a key no longer, from a restart on."""
        del self._keys[key_id]
        self._stand_in.stop()
        self._stand_in = self._start(urlsplit(self.url).port or 0)

    def stop(self) -> None:
        self._stand_in.stop()

    def _start(self, port: int) -> ApnsStandIn:
        return ApnsStandIn.start(
            certificate=self._chain.apns_server_certificate,
            private_key=self._chain.apns_server_key,
            client_ca=self._chain.intermediate,
            provider_keys=self._keys,
            port=port,
        )


@pytest.fixture
def scene(team: Team, chain_of_stack: DevelopmentChain, tmp_path: Path) -> Iterator[Scene]:
    apns = AppleSide(chain_of_stack, tmp_path)
    with gateway() as served:
        scene = Scene(team, served, apns, chain_of_stack)
        yield scene
        scene.phone.close()
    apns.stop()


def test_rotation_of_the_authentication_and_the_link_key_is_not_noticed(scene: Scene, team: Team) -> None:
    before = scene.held(scene.phone).content["authenticationToken"]
    added = team.runs("keys", "rotate")["key_id"]
    assert [(key["key_id"], key["issues"]) for key in team.runs("keys", "status")] == [
        (added, False),
        (FIRST_KEY, True),
    ]
    early = Phone()
    assert early.opens(team.link(scene.url)) == 201, "the service has cached the keys, and knows the link's key"
    scene.phone_notices_nothing("A1")
    for gate, seconds in {"B1": 0.0, "B2": KEEP_SECONDS, "B3": DELAY_SECONDS - KEEP_SECONDS}.items():
        scene.passes(seconds)
        scene.phone_notices_nothing(gate)
    late = Phone()
    assert late.opens(scene.first_link) == 201
    assert scene.held(late).content["authenticationToken"].startswith(f"{added}."), "new passes use the new key"
    assert scene.held(scene.phone).content["authenticationToken"] == before
    assert late.downloads(scene.held(late)) is None


def test_revoked_authentication_key_ends_its_passes_and_links_and_no_others(scene: Scene, team: Team) -> None:
    refused = team.tries("keys", "revoke", FIRST_KEY, "--yes")
    assert refused.exit_code != 0
    assert "rotate first" in str(refused.exception)
    added = team.runs("keys", "rotate")["key_id"]
    scene.passes(DELAY_SECONDS)
    late = Phone()
    late.opens(scene.first_link)
    team.runs("keys", "revoke", FIRST_KEY, "--yes")
    scene.passes(KEEP_SECONDS)
    with pytest.raises(PhoneError, match="got 401"):
        scene.phone.registers(scene.held(scene.phone))
    with pytest.raises(PhoneError, match="got 404"):
        Phone().opens(scene.first_link)
    assert late.registers(scene.held(late)) == 200
    assert Phone().opens(team.link(scene.url)) == 201
    assert [key["key_id"] for key in team.runs("keys", "status")] == [added]


def test_revoked_link_key_ends_links_and_no_passes(scene: Scene, team: Team) -> None:
    team.runs("keys", "rotate")
    team.runs("keys", "revoke", FIRST_KEY, "--links", "--yes")
    scene.passes(KEEP_SECONDS)
    with pytest.raises(PhoneError, match="got 404"):
        Phone().opens(scene.first_link)
    assert scene.phone.registers(scene.held(scene.phone)) == 200
    assert Phone().opens(team.link(scene.url)) == 201


def test_rotation_of_the_apns_key_is_not_noticed_and_the_old_one_can_be_revoked(scene: Scene, team: Team) -> None:
    scene.phone_notices_nothing("A1")
    (status,) = team.runs("cert", "rotate", team.pass_type, scene.apns.new_key)
    assert status["pushes_with"] == f"token {NEW_KEY_ID}"
    scene.phone_notices_nothing("A2")
    scene.passes(KEEP_SECONDS)
    scene.apns.revokes(KEY_ID)
    scene.phone_notices_nothing("A3")


def test_rotation_of_the_pass_certificate_is_not_noticed(scene: Scene, team: Team) -> None:
    first = team.issued
    team.runs("cert", "rotate", team.pass_type, *team.certificate())
    scene.phone_notices_nothing("A1")
    assert first.serial_number in signers(scene.held(scene.phone).archive)
    scene.passes(KEEP_SECONDS)
    scene.phone_notices_nothing("A2")
    assert team.issued.serial_number in signers(scene.held(scene.phone).archive)


def signers(archive: bytes) -> set[int]:
    """Return the serial numbers of the certificates in a pass's signature."""
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        return {found.serial_number for found in pkcs7.load_der_pkcs7_certificates(members.read("signature"))}
