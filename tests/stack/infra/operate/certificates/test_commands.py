"""Tests of `cert request|import|status|rotate` on the command line, with the local run's Secrets Manager."""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.certificates.fitting import APPLES_INTERMEDIATE
from tests.support.aws_stand_in import answering
from tests.support.command_line import AtTerminal, infra
from tests.support.second_stage import STAGE, SecondStage

PASS_TYPE, TEAM = "pass.dev.acme.boarding", "ACMETEAM01"
PASSWORD = "correct horse battery staple"
EXPIRED = timedelta(minutes=30)
"""Lifetime of a certificate that has expired."""


def openssl(*arguments: object) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


@dataclass(frozen=True)
class CertCommands:
    """Runs `cert` commands for a stage of its own, with files in a folder and a stand-in for Apple's portal."""

    stage: str
    folder: Path
    portal: Portal
    key: rsa.RSAPrivateKey

    def run(self, command: str, *arguments: object) -> Result:
        return CliRunner().invoke(app, ["cert", command, *map(str, arguments), "--stage", self.stage])

    def run_json(self, command: str, *arguments: object) -> Any:  # noqa: ANN401
        """Run a command that succeeds; return its JSON."""
        done = self.run(command, *arguments, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    def error_of(self, command: str, *arguments: object) -> str:
        """Run a command that fails; return its message, after checking that nothing was stored and no secret shown."""
        before = self.stored()
        refused = self.run(command, *arguments)
        assert refused.exit_code != 0
        assert self.stored() == before
        message = str(refused.exception) if isinstance(refused.exception, EXPECTED) else refused.output
        for secret in (PASSWORD, *_key(self.key, NoEncryption()).decode().splitlines()[1:-1]):
            assert secret not in message + refused.output
        return message

    def stored(self) -> dict[str, str]:
        client = boto3.client("secretsmanager")
        found = client.list_secrets(Filters=[{"Key": "name", "Values": [f"passwire/{self.stage}/"]}])["SecretList"]
        return {secret["Name"]: client.get_secret_value(SecretId=secret["Name"])["SecretString"] for secret in found}

    def secret(self) -> PassTypeSecret:
        return Secrets(stage=self.stage).pass_type_with_apns(PASS_TYPE)

    def file(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def issued(self, key: rsa.RSAPublicKey | None = None, *, team: str = TEAM, **of: Any) -> Certificate:  # noqa: ANN401
        """Return a certificate from the portal, for `self.key` unless another key is given."""
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
        """Return a .p12 made by openssl, which also contains the intermediate."""
        out = self.folder / "pass.p12"
        intermediate = self.portal.intermediate.certificate.public_bytes(Encoding.PEM)
        given = ["-inkey", self.key_file(), "-in", self.pem(), "-certfile", self.file("wwdr.pem", intermediate)]
        openssl("pkcs12", "-export", *given, "-passout", f"pass:{PASSWORD}", "-out", out, *how)
        return out

    def import_issued(self, **of: Any) -> None:  # noqa: ANN401
        self.run_json("import", PASS_TYPE, self.cer(self.issued(**of)), self.key_file(), self.wwdr())


def _key(key: rsa.RSAPrivateKey, how: Any) -> bytes:  # noqa: ANN401
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.fixture(scope="module")
def portal() -> Portal:
    return Portal.open()


@pytest.fixture(scope="module")
def another_portal() -> Portal:
    """A portal of another generation, whose intermediate has the same name."""
    return Portal.open()


@pytest.fixture(scope="module")
def keys() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
    one, two = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    return one, two


@pytest.fixture
def cert(
    stack: LocalRun,
    tmp_path: Path,
    portal: Portal,
    keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[CertCommands]:
    assert stack
    monkeypatch.chdir(tmp_path)
    commands = CertCommands(f"t-{secrets.token_hex(4)}", tmp_path, portal, keys[0])
    yield commands
    for name in commands.stored():
        boto3.client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_request_is_verified_by_openssl_and_its_key_is_not_on_disk(cert: CertCommands) -> None:
    assert cert.run_json("request", PASS_TYPE)["request"] == f"{PASS_TYPE}.csr"
    text = openssl("req", "-in", cert.folder / f"{PASS_TYPE}.csr", "-noout", "-verify", "-text")
    assert "verify OK" in text
    assert "Public-Key: (2048 bit)" in text
    assert f"CN = {PASS_TYPE}" in text
    assert [path.name for path in cert.folder.iterdir()] == [f"{PASS_TYPE}.csr"]
    ((name, content),) = cert.stored().items()
    assert name == f"passwire/{cert.stage}/pending/{PASS_TYPE}"
    assert json.loads(content)["private_key"].startswith("-----BEGIN PRIVATE KEY-----")


def test_repeated_request_is_identical_and_overwrites_nothing(cert: CertCommands) -> None:
    cert.run_json("request", PASS_TYPE)
    first = (cert.folder / f"{PASS_TYPE}.csr").read_bytes()
    cert.run_json("request", PASS_TYPE)
    cert.run_json("request", PASS_TYPE, "--output", "again.csr")
    assert (cert.folder / "again.csr").read_bytes() == first
    other = cert.file("other.csr", b"something else")
    assert "exists with other content; give another --output" in cert.error_of("request", PASS_TYPE, "--output", other)
    assert other.read_bytes() == b"something else"


def test_request_import_status_and_rotate_work_together(cert: CertCommands, chain: DevelopmentChain) -> None:
    def certified() -> Path:
        cert.run_json("request", PASS_TYPE, "--output", f"{secrets.token_hex(4)}.csr")
        newest = max(cert.folder.glob("*.csr"), key=lambda path: path.stat().st_mtime_ns)
        public_key = load_pem_x509_csr(newest.read_bytes()).public_key()
        assert isinstance(public_key, rsa.RSAPublicKey)
        return cert.cer(cert.issued(public_key))

    (stored,) = cert.run_json("import", PASS_TYPE, certified(), cert.wwdr(), chain.provider_key)
    assert (stored["team_identifier"], stored["pushes_with"]) == (TEAM, f"token {KEY_ID}")
    first = cert.secret()
    assert first.apns is not None
    assert (first.apns.team_identifier, first.apns.key_id) == (TEAM, KEY_ID)
    names = [f"passwire/{cert.stage}/{kind}/{PASS_TYPE}" for kind in ("apns-keys", "pass-types")]
    assert sorted(cert.stored()) == names, "the pending key is deleted"
    assert first.apns.private_key not in json.loads(cert.stored()[names[1]]).values()
    assert json.loads(cert.stored()[names[1]])["apns"] == {"team_identifier": TEAM, "key_id": KEY_ID}
    (seen,) = cert.run_json("status")
    assert seen == {**stored, "days_left": seen["days_left"]}
    (rotated,) = cert.run_json("rotate", PASS_TYPE, certified())
    assert rotated["certificate_ends_at"] >= stored["certificate_ends_at"]
    second = cert.secret()
    assert second.private_key != first.private_key
    assert (second.apns, second.intermediate) == (first.apns, first.intermediate), "what was not given is kept"
    Signer.from_pem(
        certificate=second.certificate, private_key=second.private_key, intermediate=second.intermediate
    ).sign(b"{}", at=datetime.now(UTC))


@pytest.mark.parametrize("how", [(), ("-legacy",), ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac")])
def test_p12_is_read_with_any_ciphers(how: tuple[str, ...], cert: CertCommands) -> None:
    """Current ciphers of openssl, those of old keychains (RC2, 3DES), and no encryption."""
    password = cert.file("password", f"{PASSWORD}\n".encode())
    cert.run_json("import", PASS_TYPE, cert.p12(*how), "--password-file", password)
    assert cert.secret().private_key == _key(cert.key, NoEncryption()).decode()


def test_certificates_or_a_password_are_read_from_standard_input(cert: CertCommands) -> None:
    arguments = ["cert", "import", PASS_TYPE, "-", "--stage", cert.stage, "--json"]
    parts = [
        cert.pem(),
        cert.key_file(),
        cert.file("wwdr.pem", cert.portal.intermediate.certificate.public_bytes(Encoding.PEM)),
    ]
    done = CliRunner().invoke(app, arguments, input=b"".join(path.read_bytes() for path in parts))
    assert done.exit_code == 0, (done.output, done.exception)
    arguments = ["cert", "rotate", PASS_TYPE, str(cert.p12()), "--password-file", "-", "--stage", cert.stage]
    assert CliRunner().invoke(app, arguments, input=f"{PASSWORD}\n").exit_code == 0
    twice = CliRunner().invoke(app, [*arguments, "-"])
    assert "standard input can be read only once" in str(twice.exception)


def test_password_is_read_from_the_environment(cert: CertCommands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWIRE_CERT_PASSWORD", PASSWORD)
    cert.run_json("import", PASS_TYPE, cert.pem(), cert.key_file(password=PASSWORD), cert.wwdr())
    assert "ENCRYPTED" not in cert.secret().private_key


def test_terminal_prompts_for_the_password_without_echoing_it(cert: CertCommands) -> None:
    terminal = AtTerminal("cert", "import", PASS_TYPE, str(cert.p12()), "--stage", cert.stage)
    terminal.until("password of pass.p12: ")  # printed when the prompt is ready to read
    terminal.types(f"{PASSWORD}\n")
    assert terminal.ends() == 0, terminal.shown
    assert PASSWORD not in terminal.shown
    assert cert.secret().certificate.startswith("-----BEGIN CERTIFICATE-----")


def test_ctrl_c_at_the_password_prompt_stores_nothing(cert: CertCommands) -> None:
    terminal = AtTerminal("cert", "import", PASS_TYPE, str(cert.p12()), "--stage", cert.stage)
    terminal.until("password of pass.p12: ")  # printed when the prompt is ready to read
    terminal.interrupts()
    assert terminal.ends() == 130
    assert cert.stored() == {}
    assert "Traceback" not in terminal.shown


@dataclass(frozen=True)
class WrongFiles:
    """Arguments that `cert import` refuses, and part of its message."""

    files: Callable[[CertCommands, Portal, rsa.RSAPrivateKey], list[object]]

    message: str


WRONG_FILES = {
    "the password of a .p12": WrongFiles(
        lambda cert, _, __: [cert.p12(), "--password-file", cert.file("password", b"wrong")],
        "pass.p12: the password is wrong, or the file is damaged",
    ),
    "no password for a .p12": WrongFiles(lambda cert, _, __: [cert.p12()], "pass.p12: encrypted; give --password-file"),
    "a key that is encrypted": WrongFiles(
        lambda cert, _, __: [cert.pem(), cert.key_file(password=PASSWORD), cert.wwdr()],
        "key.pem: encrypted; give --password-file",
    ),
    "the password of a key": WrongFiles(
        lambda cert, _, __: [cert.key_file(password=PASSWORD), "--password-file", cert.file("password", b"wrong")],
        "key.pem: the password is wrong, or the key is damaged",
    ),
    "a certificate of another pass type": WrongFiles(
        lambda cert, _, __: [cert.cer(cert.issued(pass_type_identifier="pass.dev.other")), cert.key_file()],
        "the certificate belongs to pass type pass.dev.other, not to pass.dev.acme.boarding",
    ),
    "a certificate of no pass type": WrongFiles(
        lambda cert, _, __: [cert.folder / "apns_server.pem", cert.key_file()], "so it is not one of Apple's"
    ),
    "another key": WrongFiles(
        lambda cert, _, key: [cert.pem(), cert.file("other.pem", _key(key, NoEncryption())), cert.wwdr()],
        "the private key is not the certificate's",
    ),
    "no key": WrongFiles(lambda cert, _, __: [cert.pem(), cert.wwdr()], "the certificate's private key is missing"),
    "an intermediate of another generation": WrongFiles(
        lambda cert, other, _: [cert.pem(), cert.key_file(), cert.wwdr(other)],
        "import the WWDR certificate of the right generation",
    ),
    "no intermediate, where Apple's did not issue it": WrongFiles(
        lambda cert, _, __: [cert.pem(), cert.key_file()], "OU=G4,CN=Apple Worldwide Developer Relations"
    ),
    "an expired certificate": WrongFiles(
        lambda cert, _, __: [cert.cer(cert.issued(lifetime=EXPIRED)), cert.key_file(), cert.wwdr()],
        "its certificate is valid from",
    ),
    "garbage": WrongFiles(
        lambda cert, _, __: [cert.file("pass.cer", os.urandom(900))], "pass.cer: neither a certificate"
    ),
    "an empty file": WrongFiles(lambda cert, _, __: [cert.file("pass.cer", b"")], "pass.cer: neither a certificate"),
    "a damaged certificate": WrongFiles(
        lambda cert, _, __: [cert.file("p.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")],
        "p.pem: contains a damaged certificate",
    ),
    "a damaged .p12": WrongFiles(
        lambda cert, _, __: [
            cert.file("cut.p12", cert.p12().read_bytes()[:700]),
            "--password-file",
            cert.file("password", PASSWORD.encode()),
        ],
        "cut.p12: the password is wrong, or the file is damaged",
    ),
    "a directory": WrongFiles(lambda cert, _, __: [cert.folder], "is a folder; give a file"),
    "a missing file": WrongFiles(lambda cert, _, __: [cert.folder / "nowhere.cer"], "nowhere.cer: no such file"),
    "the request instead of the certificate": WrongFiles(
        lambda cert, _, key: [cert.file("pass.csr", csr(key))],
        "pass.csr: contains a certificate request; give the certificate",
    ),
    "two certificates": WrongFiles(
        lambda cert, _, __: [cert.cer(), cert.cer(cert.issued(team="OTHERTEAM1"), "other.cer"), cert.key_file()],
        "the files contain several pass type certificates",
    ),
    "no certificate": WrongFiles(lambda cert, _, __: [cert.key_file()], "the files contain no pass type certificate"),
}


def csr(key: rsa.RSAPrivateKey) -> bytes:
    from cryptography.x509 import CertificateSigningRequestBuilder, Name  # noqa: PLC0415

    return CertificateSigningRequestBuilder().subject_name(Name([])).sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("name", WRONG_FILES)
def test_import_refuses_wrong_files_in_one_sentence(
    name: str,
    cert: CertCommands,
    another_portal: Portal,
    keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey],
    chain: DevelopmentChain,
) -> None:
    (cert.folder / "apns_server.pem").write_bytes(chain.apns_server_certificate.read_bytes())
    message = cert.error_of("import", PASS_TYPE, *WRONG_FILES[name].files(cert, another_portal, keys[1]))
    flat = " ".join(message.replace("│", " ").split())
    assert WRONG_FILES[name].message in flat
    assert cert.stored() == {}


def test_expired_intermediate_is_refused(cert: CertCommands) -> None:
    expired = Portal.open(lifetime=EXPIRED)
    certificate = expired.issue(cert.key.public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    message = cert.error_of("import", PASS_TYPE, cert.cer(certificate), cert.key_file(), cert.wwdr(expired))
    assert "its WWDR intermediate is valid from" in message


def test_apns_key_needs_its_id(cert: CertCommands, chain: DevelopmentChain) -> None:
    renamed = cert.file("push.p8", chain.provider_key.read_bytes())
    files = [cert.cer(), cert.key_file(), cert.wwdr(), renamed]
    assert "push.p8: the id of this APNs key is unknown" in cert.error_of("import", PASS_TYPE, *files)
    (stored,) = cert.run_json("import", PASS_TYPE, *files, "--apns-key-id", "ABCDE12345")
    assert stored["pushes_with"] == "token ABCDE12345"


def test_import_replaces_only_unusable_credentials(cert: CertCommands) -> None:
    cert.import_issued()
    again = [cert.cer(), cert.key_file(), cert.wwdr()]
    assert f"already has a certificate in stage {cert.stage}; to replace it, run: " in cert.error_of(
        "import", PASS_TYPE, *again
    )
    boto3.client("secretsmanager").put_secret_value(
        SecretId=f"passwire/{cert.stage}/pass-types/{PASS_TYPE}", SecretString="{}"
    )
    cert.run_json("import", PASS_TYPE, *again)


def test_rotate_requires_existing_credentials(cert: CertCommands) -> None:
    message = cert.error_of("rotate", PASS_TYPE, cert.cer(), cert.key_file(), cert.wwdr())
    assert "there is nothing to replace" in message


def test_rotate_requires_same_pass_type_and_team_and_a_later_expiry(
    cert: CertCommands, keys: tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey], another_portal: Portal
) -> None:
    cert.import_issued()
    for certificate, message in (
        (cert.issued(team="OTHERTEAM1"), f"is of team OTHERTEAM1, but pass type {PASS_TYPE} belongs to team {TEAM}"),
        (cert.issued(lifetime=LIFETIME - timedelta(days=2)), "before the current one, which expires on"),
        (cert.issued(pass_type_identifier="pass.dev.other"), "belongs to pass type pass.dev.other"),
        (cert.issued(keys[1].public_key()), "the private key is not the certificate's"),
    ):
        assert message in cert.error_of("rotate", PASS_TYPE, cert.cer(certificate))
    next_generation = another_portal.issue(
        keys[1].public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM, lifetime=LIFETIME
    )
    files = [cert.cer(next_generation), cert.file("key.pem", _key(keys[1], NoEncryption()))]
    assert "right generation" in cert.error_of("rotate", PASS_TYPE, *files)
    cert.run_json("rotate", PASS_TYPE, *files, cert.wwdr(another_portal))
    assert load_pem_x509_certificate(cert.secret().certificate.encode()) == next_generation


def test_rotating_the_apns_key_keeps_the_certificate(cert: CertCommands, chain: DevelopmentChain) -> None:
    cert.import_issued()
    before = cert.secret()
    (stored,) = cert.run_json("rotate", PASS_TYPE, chain.provider_key)
    assert stored["pushes_with"] == f"token {KEY_ID}"
    assert (cert.secret().certificate, cert.secret().private_key) == (before.certificate, before.private_key)


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


def test_invalid_pass_type_identifier_is_refused(cert: CertCommands) -> None:
    for name in ("com.acme.boarding", "pass.", "pass.com.acme/boarding", "pass.com.äcme"):
        done = cert.run("request", name)
        assert done.exit_code == 2
        assert f"{name!r} is not a valid" in " ".join(done.output.split())


def test_bundled_intermediate_has_the_fingerprint_that_apple_publishes() -> None:
    """Source: apple.com/certificateauthority, "Worldwide Developer Relations - G4"."""
    certificate = load_pem_x509_certificate(APPLES_INTERMEDIATE.read_bytes())
    assert certificate.fingerprint(SHA256()).hex() == "ea4757885538dd8cb59ff4556f676087d83c85e70902c122e42c0808b5bce14c"


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
