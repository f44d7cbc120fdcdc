"""`cert request|import|status|rotate`, as a team calls them, against the stack's Secrets Manager."""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate, load_pem_x509_certificate, load_pem_x509_csr
from typer.testing import CliRunner, Result

from chalicelib.aws.secrets import PassTypeSecret, Secrets
from chalicelib.passes.signing import Signer
from infra.commands import EXPECTED, app
from infra.local.certificates import KEY_ID, LIFETIME, DevelopmentChain, Portal
from infra.local.run import LocalRun
from infra.operate.certificates.fitting import APPLES_INTERMEDIATE
from tests.support.aws_refusing import answering
from tests.support.command_line import AtTerminal, infra

PASS_TYPE, TEAM = "pass.dev.acme.boarding", "ACMETEAM01"
PASSWORD = "correct horse battery staple"
OVER = timedelta(minutes=30)
"""The life of a certificate that has ended by now."""


def openssl(*arguments: object) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Desk:
    """Where somebody of the team sits: a stage of their own, a folder, and Apple's portal."""

    stage: str
    folder: Path
    portal: Portal
    key: rsa.RSAPrivateKey

    def runs(self, command: str, *arguments: object) -> Result:
        return CliRunner().invoke(app, ["cert", command, *map(str, arguments), "--stage", self.stage])

    def does(self, command: str, *arguments: object) -> Any:  # noqa: ANN401
        """What a script gets."""
        done = self.runs(command, *arguments, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    def is_refused(self, command: str, *arguments: object) -> str:
        """The one sentence that says why. Nothing was stored, and no secret is shown."""
        before = self.stored()
        refused = self.runs(command, *arguments)
        assert refused.exit_code != 0
        assert self.stored() == before
        said = str(refused.exception) if isinstance(refused.exception, EXPECTED) else refused.output
        for secret in (PASSWORD, *_key(self.key, NoEncryption()).decode().splitlines()[1:-1]):
            assert secret not in said + refused.output
        return said

    def stored(self) -> dict[str, str]:
        client = boto3.client("secretsmanager")
        found = client.list_secrets(Filters=[{"Key": "name", "Values": [f"passwire/{self.stage}/"]}])["SecretList"]
        return {one["Name"]: client.get_secret_value(SecretId=one["Name"])["SecretString"] for one in found}

    def secret(self) -> PassTypeSecret:
        return Secrets(stage=self.stage).pass_type_with_apns(PASS_TYPE)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def issued(self, key: rsa.RSAPublicKey | None = None, *, team: str = TEAM, **of: Any) -> Certificate:  # noqa: ANN401
        """A certificate of the portal's, for this desk's own key unless told otherwise."""
        of = {"pass_type_identifier": PASS_TYPE, **of}
        return self.portal.issue(key or self.key.public_key(), team_identifier=team, **of)

    def cer(self, certificate: Certificate | None = None, name: str = "pass.cer") -> Path:
        return self.file(name, (certificate or self.issued()).public_bytes(Encoding.DER))

    def pem(self) -> Path:
        return self.file("pass.pem", self.issued().public_bytes(Encoding.PEM))

    def key_file(self, *, password: str | None = None) -> Path:
        how = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.file("key.pem", _key(self.key, how))

    def wwdr(self, portal: Portal | None = None) -> Path:
        certificate = (portal or self.portal).intermediate.certificate
        return self.file("wwdr.cer", certificate.public_bytes(Encoding.DER))

    def p12(self, *how: str) -> Path:
        """As openssl makes it, with the intermediate in it."""
        out = self.folder / "pass.p12"
        intermediate = self.portal.intermediate.certificate.public_bytes(Encoding.PEM)
        given = ["-inkey", self.key_file(), "-in", self.pem(), "-certfile", self.file("wwdr.pem", intermediate)]
        openssl("pkcs12", "-export", *given, "-passout", f"pass:{PASSWORD}", "-out", out, *how)
        return out

    def imports(self, **of: Any) -> None:  # noqa: ANN401
        self.does("import", PASS_TYPE, self.cer(self.issued(**of)), self.key_file(), self.wwdr())


def _key(key: rsa.RSAPrivateKey, how: Any) -> bytes:  # noqa: ANN401
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.fixture(scope="module")
def portal() -> Portal:
    return Portal.open()


@pytest.fixture(scope="module")
def another_portal() -> Portal:
    """Another generation: its intermediate has the same name."""
    return Portal.open()


@pytest.fixture(scope="module")
def keys() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
    one, two = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    return one, two


@pytest.fixture
def desk(
    stack: LocalRun,
    tmp_path: Path,
    portal: Portal,
    keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    assert stack
    monkeypatch.chdir(tmp_path)
    mine = Desk(f"t-{secrets.token_hex(4)}", tmp_path, portal, keys[0])
    yield mine
    for name in mine.stored():
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_a_request_is_one_that_openssl_verifies_and_its_key_lies_on_no_disk(desk: Desk) -> None:
    assert desk.does("request", PASS_TYPE)["request"] == f"{PASS_TYPE}.csr"
    said = openssl("req", "-in", desk.folder / f"{PASS_TYPE}.csr", "-noout", "-verify", "-text")
    assert "verify OK" in said
    assert "Public-Key: (2048 bit)" in said
    assert f"CN = {PASS_TYPE}" in said
    assert [path.name for path in desk.folder.iterdir()] == [f"{PASS_TYPE}.csr"]
    ((name, content),) = desk.stored().items()
    assert name == f"passwire/{desk.stage}/pending/{PASS_TYPE}"
    assert json.loads(content)["private_key"].startswith("-----BEGIN PRIVATE KEY-----")


def test_a_request_that_is_repeated_is_the_same_one_and_overwrites_nothing(desk: Desk) -> None:
    desk.does("request", PASS_TYPE)
    first = (desk.folder / f"{PASS_TYPE}.csr").read_bytes()
    desk.does("request", PASS_TYPE)
    desk.does("request", PASS_TYPE, "--output", "again.csr")
    assert (desk.folder / "again.csr").read_bytes() == first
    other = desk.file("other.csr", b"something else")
    assert "is there and is something else" in desk.is_refused("request", PASS_TYPE, "--output", other)
    assert other.read_bytes() == b"something else"


def test_a_team_requests_imports_looks_and_rotates(desk: Desk, chain: DevelopmentChain) -> None:
    def certified() -> Path:
        desk.does("request", PASS_TYPE, "--output", f"{secrets.token_hex(4)}.csr")
        newest = max(desk.folder.glob("*.csr"), key=lambda path: path.stat().st_mtime_ns)
        public_key = load_pem_x509_csr(newest.read_bytes()).public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        return desk.cer(desk.issued(public_key))

    (stored,) = desk.does("import", PASS_TYPE, certified(), desk.wwdr(), chain.provider_key)
    assert (stored["team_identifier"], stored["pushes_with"]) == (TEAM, f"token {KEY_ID}")
    first = desk.secret()
    assert first.apns is not None
    assert (first.apns.team_identifier, first.apns.key_id) == (TEAM, KEY_ID)
    names = [f"passwire/{desk.stage}/{kind}/{PASS_TYPE}" for kind in ("apns-keys", "pass-types")]
    assert sorted(desk.stored()) == names, "the pending key is gone"
    assert first.apns.private_key not in json.loads(desk.stored()[names[1]]).values()
    assert json.loads(desk.stored()[names[1]])["apns"] == {"team_identifier": TEAM, "key_id": KEY_ID}
    (seen,) = desk.does("status")
    assert seen == {**stored, "days_left": seen["days_left"]}
    (rotated,) = desk.does("rotate", PASS_TYPE, certified())
    assert rotated["certificate_ends_at"] >= stored["certificate_ends_at"]
    second = desk.secret()
    assert second.private_key != first.private_key
    assert (second.apns, second.intermediate) == (first.apns, first.intermediate), "what was not given stays"
    Signer.from_pem(
        certificate=second.certificate, private_key=second.private_key, intermediate=second.intermediate
    ).sign(b"{}", at=datetime.now(UTC))


@pytest.mark.parametrize("how", [(), ("-legacy",), ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac")])
def test_a_p12_is_taken_whatever_its_ciphers(how: tuple[str, ...], desk: Desk) -> None:
    """Those of openssl today, those of old keychains (RC2, 3DES), and none at all."""
    password = desk.file("password", f"{PASSWORD}\n".encode())
    desk.does("import", PASS_TYPE, desk.p12(*how), "--password-file", password)
    assert desk.secret().private_key == _key(desk.key, NoEncryption()).decode()


def test_a_password_comes_from_the_environment_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWIRE_CERT_PASSWORD", PASSWORD)
    desk.does("import", PASS_TYPE, desk.pem(), desk.key_file(password=PASSWORD), desk.wwdr())
    assert "ENCRYPTED" not in desk.secret().private_key


def test_a_password_is_asked_for_at_a_terminal_and_not_shown(desk: Desk) -> None:
    terminal = AtTerminal("cert", "import", PASS_TYPE, str(desk.p12()), "--stage", desk.stage)
    terminal.until("password of pass.p12: ")  # the space comes once what is typed is read
    terminal.types(f"{PASSWORD}\n")
    assert terminal.ends() == 0, terminal.shown
    assert PASSWORD not in terminal.shown
    assert desk.secret().certificate.startswith("-----BEGIN CERTIFICATE-----")


def test_ctrl_c_at_the_password_stores_nothing(desk: Desk) -> None:
    terminal = AtTerminal("cert", "import", PASS_TYPE, str(desk.p12()), "--stage", desk.stage)
    terminal.until("password of pass.p12: ")  # the space comes once what is typed is read
    terminal.interrupts()
    assert terminal.ends() == 130
    assert desk.stored() == {}
    assert "Traceback" not in terminal.shown


@dataclass(frozen=True)
class Wrong:
    """What somebody gives that does not fit, and what is said to it."""

    files: Callable[[Desk, Portal, rsa.RSAPrivateKey], list[object]]
    said: str


WRONG = {
    "the password of a .p12": Wrong(
        lambda desk, _, __: [desk.p12(), "--password-file", desk.file("password", b"wrong")],
        "pass.p12: the password is wrong, or the file is damaged",
    ),
    "no password for a .p12": Wrong(lambda desk, _, __: [desk.p12()], "pass.p12: is encrypted; give --password-file"),
    "a key that is encrypted": Wrong(
        lambda desk, _, __: [desk.pem(), desk.key_file(password=PASSWORD), desk.wwdr()],
        "key.pem: is encrypted; give --password-file",
    ),
    "the password of a key": Wrong(
        lambda desk, _, __: [desk.key_file(password=PASSWORD), "--password-file", desk.file("password", b"wrong")],
        "key.pem: the password is wrong, or the key is damaged",
    ),
    "a certificate of another pass type": Wrong(
        lambda desk, _, __: [desk.cer(desk.issued(pass_type_identifier="pass.dev.other")), desk.key_file()],
        "the certificate is that of pass type pass.dev.other, not of pass.dev.acme.boarding",
    ),
    "a certificate of no pass type": Wrong(
        lambda desk, _, __: [desk.folder / "apns_server.pem", desk.key_file()], "so it is not one of Apple's"
    ),
    "another key": Wrong(
        lambda desk, _, key: [desk.pem(), desk.file("other.pem", _key(key, NoEncryption())), desk.wwdr()],
        "the private key is not the certificate's",
    ),
    "no key": Wrong(lambda desk, _, __: [desk.pem(), desk.wwdr()], "the certificate's private key is missing"),
    "an intermediate of another generation": Wrong(
        lambda desk, other, _: [desk.pem(), desk.key_file(), desk.wwdr(other)],
        "import the WWDR certificate of the right generation",
    ),
    "no intermediate, where Apple's did not issue it": Wrong(
        lambda desk, _, __: [desk.pem(), desk.key_file()], "OU=G4,CN=Apple Worldwide Developer Relations"
    ),
    "a certificate that has ended": Wrong(
        lambda desk, _, __: [desk.cer(desk.issued(lifetime=OVER)), desk.key_file(), desk.wwdr()],
        "its certificate is valid from",
    ),
    "garbage": Wrong(
        lambda desk, _, __: [desk.file("pass.cer", os.urandom(900))], "pass.cer: is neither a certificate"
    ),
    "an empty file": Wrong(lambda desk, _, __: [desk.file("pass.cer", b"")], "pass.cer: is neither a certificate"),
    "a damaged certificate": Wrong(
        lambda desk, _, __: [desk.file("p.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")],
        "p.pem: a certificate in it is damaged",
    ),
    "a damaged .p12": Wrong(
        lambda desk, _, __: [
            desk.file("cut.p12", desk.p12().read_bytes()[:700]),
            "--password-file",
            desk.file("password", PASSWORD.encode()),
        ],
        "cut.p12: the password is wrong, or the file is damaged",
    ),
    "a directory": Wrong(lambda desk, _, __: [desk.folder], "is a directory"),
    "a missing file": Wrong(lambda desk, _, __: [desk.folder / "nowhere.cer"], "does not exist"),
    "the request instead of the certificate": Wrong(
        lambda desk, _, key: [desk.file("pass.csr", csr(key))],
        "pass.csr: holds a certificate request; give the certificate",
    ),
    "two certificates": Wrong(
        lambda desk, _, __: [desk.cer(), desk.cer(desk.issued(team="OTHERTEAM1"), "other.cer"), desk.key_file()],
        "there are several certificates that are no intermediates",
    ),
    "no certificate": Wrong(lambda desk, _, __: [desk.key_file()], "there is no pass type certificate in the files"),
}


def csr(key: rsa.RSAPrivateKey) -> bytes:
    from cryptography.x509 import CertificateSigningRequestBuilder, Name  # noqa: PLC0415

    return CertificateSigningRequestBuilder().subject_name(Name([])).sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused_in_one_sentence(
    what: str,
    desk: Desk,
    another_portal: Portal,
    keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey],
    chain: DevelopmentChain,
) -> None:
    (desk.folder / "apns_server.pem").write_bytes(chain.apns_server_certificate.read_bytes())
    said = desk.is_refused("import", PASS_TYPE, *WRONG[what].files(desk, another_portal, keys[1]))
    flat = " ".join(said.replace("│", " ").split())
    assert WRONG[what].said in flat
    assert desk.stored() == {}


def test_an_intermediate_that_has_ended_is_refused(desk: Desk) -> None:
    over = Portal.open(lifetime=OVER)
    certificate = over.issue(desk.key.public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    said = desk.is_refused("import", PASS_TYPE, desk.cer(certificate), desk.key_file(), desk.wwdr(over))
    assert "its WWDR intermediate is valid from" in said


def test_an_apns_key_needs_its_id(desk: Desk, chain: DevelopmentChain) -> None:
    renamed = desk.file("push.p8", chain.provider_key.read_bytes())
    files = [desk.cer(), desk.key_file(), desk.wwdr(), renamed]
    assert "push.p8: the id of this APNs key is unknown" in desk.is_refused("import", PASS_TYPE, *files)
    (stored,) = desk.does("import", PASS_TYPE, *files, "--apns-key-id", "ABCDE12345")
    assert stored["pushes_with"] == "token ABCDE12345"


def test_an_import_replaces_nothing_but_what_cannot_be_used(desk: Desk) -> None:
    desk.imports()
    again = [desk.cer(), desk.key_file(), desk.wwdr()]
    assert "already; to replace it, run: python -m infra cert rotate" in desk.is_refused("import", PASS_TYPE, *again)
    boto3.client("secretsmanager").put_secret_value(
        SecretId=f"passwire/{desk.stage}/pass-types/{PASS_TYPE}", SecretString="{}"
    )
    desk.does("import", PASS_TYPE, *again)


def test_a_rotation_needs_something_to_replace(desk: Desk) -> None:
    said = desk.is_refused("rotate", PASS_TYPE, desk.cer(), desk.key_file(), desk.wwdr())
    assert "there is nothing to replace" in said


def test_a_rotation_keeps_pass_type_and_team_and_goes_forward_in_time(
    desk: Desk, keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey], another_portal: Portal
) -> None:
    desk.imports()
    for certificate, said in (
        (desk.issued(team="OTHERTEAM1"), f"is of team OTHERTEAM1, and pass type {PASS_TYPE} is team {TEAM}'s"),
        (desk.issued(lifetime=LIFETIME - timedelta(days=2)), "before the one that is there, which ends on"),
        (desk.issued(pass_type_identifier="pass.dev.other"), "that of pass type pass.dev.other"),
        (desk.issued(keys[1].public_key()), "the private key is not the certificate's"),
    ):
        assert said in desk.is_refused("rotate", PASS_TYPE, desk.cer(certificate))
    next_generation = another_portal.issue(
        keys[1].public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM, lifetime=LIFETIME
    )
    files = [desk.cer(next_generation), desk.file("key.pem", _key(keys[1], NoEncryption()))]
    assert "right generation" in desk.is_refused("rotate", PASS_TYPE, *files)
    desk.does("rotate", PASS_TYPE, *files, desk.wwdr(another_portal))
    assert load_pem_x509_certificate(desk.secret().certificate.encode()) == next_generation


def test_a_rotation_of_the_apns_key_leaves_the_certificate(desk: Desk, chain: DevelopmentChain) -> None:
    desk.imports()
    before = desk.secret()
    (stored,) = desk.does("rotate", PASS_TYPE, chain.provider_key)
    assert stored["pushes_with"] == f"token {KEY_ID}"
    assert (desk.secret().certificate, desk.secret().private_key) == (before.certificate, before.private_key)


def test_the_status_is_an_exit_code_for_ci(desk: Desk) -> None:
    assert "has no certificate" in desk.is_refused("status")
    desk.imports(lifetime=timedelta(days=40, hours=2))
    assert desk.runs("status").exit_code == 0
    assert desk.runs("status", PASS_TYPE, "--days", 39).exit_code == 0
    assert desk.runs("status", "--days", 40).exit_code == 1
    unknown = desk.runs("status", PASS_TYPE, "pass.dev.nobody")
    assert unknown.exit_code == 1
    assert "unusable: " in unknown.stdout
    assert "pass.dev.nobody is missing" in unknown.stdout
    shown = desk.runs("status").stdout
    for word in (PASS_TYPE, TEAM, "40", "certificate", "intermediate"):
        assert word in shown


def test_what_is_no_pass_type_identifier_is_refused(desk: Desk) -> None:
    for name in ("com.acme.boarding", "pass.", "pass.com.acme/boarding", "pass.com.äcme"):
        assert "is no pass type identifier" in desk.is_refused("request", name)


def test_apples_intermediate_is_apples() -> None:
    """Its fingerprint stands on apple.com/certificateauthority, and in many trust stores."""
    certificate = load_pem_x509_certificate(APPLES_INTERMEDIATE.read_bytes())
    assert certificate.fingerprint(SHA256()).hex() == "ea4757885538dd8cb59ff4556f676087d83c85e70902c122e42c0808b5bce14c"


def test_a_secret_of_another_pass_type_is_no_certificate(desk: Desk) -> None:
    desk.imports()
    (content,) = desk.stored().values()
    boto3.client("secretsmanager").create_secret(
        Name=f"passwire/{desk.stage}/pass-types/pass.dev.other", SecretString=content
    )
    unusable = desk.runs("status", "pass.dev.other")
    assert (unusable.exit_code, "its certificate belongs to pass type" in unusable.stdout) == (1, True)


def test_what_aws_refuses_is_said_in_one_sentence(stack: LocalRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack
    denied = {
        "__type": "AccessDeniedException",
        "Message": "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: secretsmanager:ListSecrets",
    }
    with answering(json.dumps(denied), status=400) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
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
