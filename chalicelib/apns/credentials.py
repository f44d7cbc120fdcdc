"""Authenticates pushes to APNs: with the pass type certificate, or with a provider token of the team.

A provider token is valid for an hour, and APNs refuses a team whose token changes more often than every 20 minutes
(Apple, "Establishing a token-based connection to APNs"): 429 TooManyProviderTokenUpdates. A team's functions run in up
to a thousand execution environments. So that all of them present the same token without sharing state, a token depends
only on the key and the time: it is issued at the start of the current period of 40 minutes and signed with the
deterministic ECDSA of RFC 6979. The same period gives the same bytes everywhere.

At the end of a period, two execution environments whose clocks differ by a second present two tokens during that
second: the old one and the new one, issued 40 minutes apart, so no more than two are used within any 20 minutes. A
token cached in a table would have the same transition, and a longer one: until every execution environment has read
the new token. If APNs answers one of the two with TooManyProviderTokenUpdates, the batch is retried, first after 5
seconds, when all clocks have passed the end of the period. A new key (`kid`) gives a new token at any time; APNs may
answer it the same way, and the same retry applies.
"""

import hashlib
import json
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from chalicelib.core.errors import ConfigurationError

TOKEN_PERIOD_SECONDS = 2400
CLOCK_SLACK_SECONDS = 60
"""Minimum age of a token, so that a clock ahead of Apple's does not make a token from the future."""


class Credential(Protocol):
    """Authenticates a connection to APNs."""

    def prepare(self, context: ssl.SSLContext) -> None:
        """Add the client certificate to the TLS handshake, if there is one."""

    def authorization(self, now: float) -> bytes | None:
        """Return the `authorization` header at `now` (epoch seconds); None if the handshake authenticates."""

    @property
    def name(self) -> str:
        """Identifies the credential, without a secret."""


class ClientCertificate:
    """The pass type certificate as TLS client certificate: valid for its own pass type only.

    Args:
        certificate: PEM; the intermediate may follow it.
        private_key: PEM, not encrypted.
    """

    def __init__(self, *, certificate: str, private_key: str) -> None:
        self._pem = certificate.rstrip() + "\n" + private_key
        self.name = hashlib.sha256(certificate.encode()).hexdigest()

    def prepare(self, context: ssl.SSLContext) -> None:
        """Load the chain. OpenSSL only reads it from a file, which is private and deleted before this returns.

        Raises:
            ConfigurationError: the key does not belong to the certificate.
        """
        with tempfile.TemporaryDirectory() as folder:  # mode 0700
            path = Path(folder) / "certificate.pem"
            path.write_text(self._pem)
            try:
                context.load_cert_chain(path)
            except ssl.SSLError as error:
                raise ConfigurationError(
                    f"APNs client certificate: its private key does not belong to it: {error.reason}; import both again"
                ) from None

    def authorization(self, now: float) -> bytes | None:  # noqa: ARG002 - the handshake does not depend on the time
        return None


class ProviderToken:
    """A token signed with a team's APNs authentication key: valid for the pass types of that team.

    Args:
        team_identifier: the token's `iss`.
        key_id: the token's `kid`.
        private_key: PEM, the content of Apple's `.p8` file.

    Raises:
        ConfigurationError: not a PEM key for ES256.
    """

    def __init__(self, *, team_identifier: str, key_id: str, private_key: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"APNs key {key_id} is not a PEM key; import the .p8 file as downloaded from Apple"
            ) from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ConfigurationError(
                f"APNs key {key_id} is not a P-256 key; import the .p8 file as downloaded from Apple"
            )
        self._key = key
        self._claims = {"iss": team_identifier}
        self._headers = {"kid": key_id}
        self._cached: tuple[int, bytes] | None = None
        self.name = f"{team_identifier} {key_id}"

    def prepare(self, context: ssl.SSLContext) -> None:
        """Do nothing: the handshake is anonymous."""

    def authorization(self, now: float) -> bytes | None:
        """Return the header with the token of the current period."""
        issued_at = int(now - CLOCK_SLACK_SECONDS) // TOKEN_PERIOD_SECONDS * TOKEN_PERIOD_SECONDS
        if self._cached is None or self._cached[0] != issued_at:
            token = _sign({**self._claims, "iat": issued_at}, self._headers, self._key)
            self._cached = (issued_at, b"bearer " + token.encode())
        return self._cached[1]


def _sign(claims: Mapping[str, Any], headers: dict[str, Any], key: Any) -> str:  # noqa: ANN401 - an EC key
    """Sign a JWS with pyjwt. Its own ES256 is randomized, so it is replaced by a deterministic one."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256
    from jwt import PyJWS
    from jwt.algorithms import ECAlgorithm
    from jwt.utils import der_to_raw_signature

    class DeterministicES256(ECAlgorithm):
        def sign(self, msg: bytes, key: Any) -> bytes:  # noqa: ANN401
            return der_to_raw_signature(key.sign(msg, ECDSA(SHA256(), deterministic_signing=True)), key.curve)

    signer = PyJWS(algorithms=["ES256"])
    signer.unregister_algorithm("ES256")
    signer.register_algorithm("ES256", DeterministicES256(ECAlgorithm.SHA256))
    payload = json.dumps(claims, separators=(",", ":"), sort_keys=True).encode()
    return signer.encode(payload, key, algorithm="ES256", headers=headers)
