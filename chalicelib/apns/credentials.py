"""What proves to APNs that a push is ours: the pass type certificate, or a provider token of the team.

A provider token is good for an hour, and APNs refuses a team whose token changes more often than every 20 minutes
(Apple, "Establishing a token-based connection to APNs"): 429 TooManyProviderTokenUpdates. A team's functions run in a
thousand sandboxes. So that they all present one token and share nothing, a token is a function of the key and the time
alone: it is issued at the start of the current period of 40 minutes, and signed with the deterministic ECDSA of
RFC 6979. The same period, the same bytes, everywhere.

At the end of a period, two sandboxes whose clocks disagree by a second present two tokens for that second: the old one
and the new one, issued 40 minutes apart, so that no more than two stand within any 20 minutes. A token that is kept in
a table has that time too, and longer: until the last sandbox has read the new one. Should APNs answer one of them with
TooManyProviderTokenUpdates, that batch is for later, 5 seconds later at first, when all clocks have passed the end.
A new key (`kid`) is a new token at any time; the answer to it may be the same, and so is what comes of it.
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
"""A token is not used before it is this old, so that a clock ahead of Apple's makes none from the future."""


class Credential(Protocol):
    """How a connection proves who pushes."""

    def prepare(self, context: ssl.SSLContext) -> None:
        """Put into the TLS handshake what belongs there."""

    def authorization(self, now: float) -> bytes | None:
        """The `authorization` header at `now` (epoch seconds); None where the handshake is the proof."""

    @property
    def name(self) -> str:
        """Tells this credential from every other, without a secret."""


class ClientCertificate:
    """The pass type certificate as TLS client certificate: good for its own pass type, of any team.

    Args:
        certificate: PEM; the intermediate may follow it.
        private_key: PEM, not encrypted.
    """

    def __init__(self, *, certificate: str, private_key: str) -> None:
        self._pem = certificate.rstrip() + "\n" + private_key
        self.name = hashlib.sha256(certificate.encode()).hexdigest()

    def prepare(self, context: ssl.SSLContext) -> None:
        """Load the chain. OpenSSL reads it from a file alone; that file is private and gone before this returns.

        Raises:
            ConfigurationError: certificate and key are not a pair.
        """
        with tempfile.TemporaryDirectory() as folder:  # mode 0700
            path = Path(folder) / "certificate.pem"
            path.write_text(self._pem)
            try:
                context.load_cert_chain(path)
            except ssl.SSLError as error:
                raise ConfigurationError(
                    f"APNs client certificate: it and its key are not a pair: {error.reason}"
                ) from None

    def authorization(self, now: float) -> bytes | None:  # noqa: ARG002 - a certificate is good at any time
        return None


class ProviderToken:
    """A token signed with a team's APNs authentication key: good for the pass types of that team.

    Args:
        team_identifier: the token's `iss`.
        key_id: the token's `kid`.
        private_key: PEM, what Apple's `.p8` file holds.

    Raises:
        ConfigurationError: the key is no ES256 key.
    """

    def __init__(self, *, team_identifier: str, key_id: str, private_key: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"APNs key {key_id}: is not a PEM key; import the .p8 file as Apple gave it"
            ) from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ConfigurationError(f"APNs key {key_id}: is not a P-256 key; import the .p8 file as Apple gave it")
        self._key = key
        self._claims = {"iss": team_identifier}
        self._headers = {"kid": key_id}
        self._kept: tuple[int, bytes] | None = None
        self.name = f"{team_identifier} {key_id}"

    def prepare(self, context: ssl.SSLContext) -> None:
        """Nothing: the handshake is anonymous."""

    def authorization(self, now: float) -> bytes | None:
        issued_at = int(now - CLOCK_SLACK_SECONDS) // TOKEN_PERIOD_SECONDS * TOKEN_PERIOD_SECONDS
        if self._kept is None or self._kept[0] != issued_at:
            token = _sign({**self._claims, "iat": issued_at}, self._headers, self._key)
            self._kept = (issued_at, b"bearer " + token.encode())
        return self._kept[1]


def _sign(claims: Mapping[str, Any], headers: dict[str, Any], key: Any) -> str:  # noqa: ANN401 - an EC key
    """A JWS by pyjwt, whose ES256 draws a random number for each signature and so is given one that does not."""
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
