"""A simulator as the process that started it sees it."""

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
    """A running simulator. It ends with `stop`, or with the process that started it, however that ends.

    Args:
        apns_url: for pushes.
        control_url: for commands.
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
        """Start one and wait until it listens.

        Args:
            certificate: of the server, PEM.
            private_key: of the server, PEM.
            client_ca: PEM of whoever signs pass type certificates here.
            provider_keys: public keys of provider tokens, PEM, by key id.
            port: for pushes; 0 for any that is free.
            control_port: for commands; 0 for any that is free.

        Raises:
            RuntimeError: it did not start; the message says why.
        """
        command = [sys.executable, "-m", "infra.local.apns"]
        command += ["--certificate", str(certificate.resolve()), "--private-key", str(private_key.resolve())]
        command += ["--client-ca", str(client_ca.resolve())]
        command += [f"--provider-key={key_id}={path.resolve()}" for key_id, path in provider_keys.items()]
        command += ["--port", str(port), "--control-port", str(control_port)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end tells that this process has ended
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,  # Control-C is for this process, which then stops it in its turn
        )
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("{"):
            process.kill()
            rest = process.communicate()[0]
            raise RuntimeError(f"the APNs simulator did not start: {(line + rest).strip()}")
        urls = json.loads(line)
        return cls(urls["apns_url"], urls["control_url"], process)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._process.terminate()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
