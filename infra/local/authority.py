"""Issues a development certificate for a pass type when it is used for the first time, so that any pass type works.

The embedded AWS asks for it when a secret of a pass type is read that does not exist (`embedded_aws.py`). What is used
first does not matter then: a command, a download, or a push after a pipeline wrote an item.
"""

import json
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import unquote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.core.secret_forms import pass_type_contents
from infra.local.certificates import KEY_ID, DevelopmentChain, Portal, key_pem
from infra.local.processes import LOOPBACK


class Authority:
    """The local authority.

    Args:
        chain: its certificates; the keys are in the same folder.
        team_identifier: of all pass types.
        on_issue: called with the pass type of each certificate that is issued.
    """

    def __init__(self, chain: DevelopmentChain, *, team_identifier: str, on_issue: Callable[[str], None]) -> None:
        self._chain = chain
        self._team_identifier = team_identifier
        self._on_issue = on_issue
        self._issuing = threading.Lock()
        self._issued: dict[str, dict[str, Any]] = {}

    def credentials(self, pass_type_identifier: str) -> dict[str, Any]:
        """Issue a certificate, once per pass type; what `put_pass_type` stores."""
        with self._issuing:
            if pass_type_identifier not in self._issued:
                self._issued[pass_type_identifier] = self._issue(pass_type_identifier)
                self._on_issue(pass_type_identifier)
            return self._issued[pass_type_identifier]

    def _issue(self, pass_type_identifier: str) -> dict[str, Any]:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = Portal.load(self._chain.root.parent).issue(
            key.public_key(),
            pass_type_identifier=pass_type_identifier,
            team_identifier=self._team_identifier,
            nfc=True,
        )
        return {
            "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
            "private_key": key_pem(key).decode(),
            **provider(self._chain, team_identifier=self._team_identifier),
        }


def provider(chain: DevelopmentChain, *, team_identifier: str) -> dict[str, Any]:
    """Return what the credentials of all pass types have in common."""
    return {
        "intermediate": chain.intermediate.read_text(),
        "apns": {
            "team_identifier": team_identifier,
            "key_id": KEY_ID,
            "private_key": chain.provider_key.read_text(),
        },
    }


class AuthorityServer(ThreadingHTTPServer):
    """Answers `POST <url>/<pass type>` with the contents of its secrets: `[pass type, APNs key]`.

    Args:
        authority: issues the certificates.
    """

    daemon_threads = True

    def __init__(self, authority: Authority) -> None:
        super().__init__((LOOPBACK, 0), _AuthorityHandler)
        self.authority = authority
        self._path = f"/{secrets.token_urlsafe(16)}"
        """No other program of this machine knows it, nor does a page in a browser."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}{self._path}"

    def pass_type_of(self, path: str) -> str | None:
        """Return the pass type that a request names, or None."""
        prefix = f"{self._path}/"
        return unquote(path.removeprefix(prefix)) if path.startswith(prefix) else None

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _AuthorityHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast("AuthorityServer", self.server)
        pass_type_identifier = server.pass_type_of(self.path)
        if pass_type_identifier is None:
            self.send_error(404)
            return
        body = json.dumps(pass_type_contents(server.authority.credentials(pass_type_identifier))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""
