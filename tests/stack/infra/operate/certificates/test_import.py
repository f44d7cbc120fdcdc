"""Tests of `cert import`: the forms of files that it reads, passwords, and what it refuses."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption
from cryptography.x509 import load_pem_x509_certificate
from typer.testing import CliRunner

from infra.commands import app
from infra.local.certificates import DevelopmentChain, Portal
from infra.operate.certificates.fitting import APPLES_INTERMEDIATE
from tests.stack.infra.operate.certificates.cert_commands import (
    EXPIRED,
    PASS_TYPE,
    PASSWORD,
    TEAM,
    CertCommands,
    pem_of,
)
from tests.support.command_line import AtTerminal


@pytest.mark.parametrize("how", [(), ("-legacy",), ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac")])
def test_p12_is_read_with_any_ciphers(how: tuple[str, ...], cert: CertCommands) -> None:
    """Current ciphers of openssl, those of old keychains (RC2, 3DES), and no encryption."""
    password = cert.file("password", f"{PASSWORD}\n".encode())
    cert.run_json("import", PASS_TYPE, cert.p12(*how), "--password-file", password)
    assert cert.secret().private_key == pem_of(cert.key, NoEncryption()).decode()


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
        lambda cert, _, key: [cert.pem(), cert.file("other.pem", pem_of(key, NoEncryption())), cert.wwdr()],
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


def test_bundled_intermediate_has_the_fingerprint_that_apple_publishes() -> None:
    """Source: apple.com/certificateauthority, "Worldwide Developer Relations - G4"."""
    certificate = load_pem_x509_certificate(APPLES_INTERMEDIATE.read_bytes())
    assert certificate.fingerprint(SHA256()).hex() == "ea4757885538dd8cb59ff4556f676087d83c85e70902c122e42c0808b5bce14c"
