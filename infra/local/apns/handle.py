"""Starts and stops the stand-in for APNs in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class ApnsStandIn:
    """A running stand-in for APNs. It ends with `stop`, or when the process that started it ends, even by a signal.

    Args:
        apns_url: the URL for pushes.
        control_url: the URL for commands (`control.py`).
    """

    apns_url: str
    control_url: str
    _process: "subprocess.Popen[str]" = field(repr=False)

    @classmethod
    def start(
        cls,
        *,
        certificate: Path,
        private_key: Path,
        client_ca: Path,
        provider_keys: Mapping[str, Path],
        port: int = 0,
        control_port: int = 0,
    ) -> Self:
        """Start the process and wait until it listens.

        Args:
            certificate: of the server, PEM.
            private_key: of the server, PEM.
            client_ca: the certificate, PEM, that signs pass type certificates.
            provider_keys: public keys of provider tokens, PEM, by key id.
            port: for pushes; 0 for a free one.
            control_port: for commands; 0 for a free one.

        Raises:
            RuntimeError: it did not start; the message gives the reason.
        """
        command = [sys.executable, "-m", "infra.local.apns"]
        command += ["--certificate", str(certificate.resolve()), "--private-key", str(private_key.resolve())]
        command += ["--client-ca", str(client_ca.resolve())]
        command += [f"--provider-key={key_id}={path.resolve()}" for key_id, path in provider_keys.items()]
        command += ["--port", str(port), "--control-port", str(control_port)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closed by the kernel when this process ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,  # Ctrl-C interrupts this process only, which then stops the other
        )
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("{"):
            process.kill()
            rest = process.communicate()[0]
            raise RuntimeError(f"the APNs stand-in did not start: {(line + rest).strip()}")
        urls = json.loads(line)
        return cls(urls["apns_url"], urls["control_url"], process)

    def stop(self) -> None:
        """Stop the process and wait for its end."""
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
