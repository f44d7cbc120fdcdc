"""Runs `cert` commands with files of a stand-in for Apple's portal, and with the local run's Secrets Manager."""

import json
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate
from typer.testing import CliRunner, Result

from chalicelib.aws.secrets import PassTypeSecret, Secrets
from infra.commands import EXPECTED, app
from infra.local.certificates import Portal

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
        for secret in (PASSWORD, *pem_of(self.key, NoEncryption()).decode().splitlines()[1:-1]):
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
        return self.file("key.pem", pem_of(self.key, how))

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


def pem_of(key: rsa.RSAPrivateKey, how: Any) -> bytes:  # noqa: ANN401
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
