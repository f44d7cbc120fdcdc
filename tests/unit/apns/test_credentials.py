"""Credentials: what they put into handshake and headers, and when a provider token changes."""

import itertools
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.apns.credentials import CLOCK_SLACK_SECONDS, TOKEN_PERIOD_SECONDS, ClientCertificate, ProviderToken
from chalicelib.core.errors import ConfigurationError
from infra.local.certificates import KEY_ID, DevelopmentChain
from infra.local.run import TEAM_IDENTIFIER
from tests.support.simulated_apns import SimulatedApns, pushes, reasons, send

NOW = 1_764_000_000.0


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


P8 = _pem(ec.generate_private_key(ec.SECP256R1()))


def _token(private_key: str = P8) -> ProviderToken:
    return ProviderToken(team_identifier=TEAM_IDENTIFIER, key_id=KEY_ID, private_key=private_key)


def _issued_at(authorization: bytes | None) -> int:
    assert authorization is not None
    return int(jwt.decode(authorization.removeprefix(b"bearer "), options={"verify_signature": False})["iat"])


def test_a_provider_token_is_what_apple_asks_for(chain: DevelopmentChain) -> None:
    """It verifies as ES256 under the public key, and names team, key and time."""
    authorization = _token(chain.provider_key.read_text()).authorization(time.time())
    assert authorization is not None
    scheme, token = authorization.split()
    claims = jwt.decode(token, chain.provider_public_key.read_text(), algorithms=["ES256"])
    assert scheme == b"bearer"
    assert claims.keys() == {"iss", "iat"}
    assert claims["iss"] == TEAM_IDENTIFIER
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"}


def test_all_sandboxes_present_the_same_token_and_share_nothing() -> None:
    """Two processes with one key make the same bytes in the same period: APNs sees one token, not a thousand."""
    assert _token().authorization(NOW) == _token().authorization(NOW + 1)


@given(st.floats(min_value=NOW, max_value=NOW + 10 * TOKEN_PERIOD_SECONDS))
def test_a_token_is_never_from_the_future_and_never_an_hour_old(now: float) -> None:
    """At any moment the token is old enough for a slow clock and far from its end."""
    assert 60 <= now - _issued_at(_token().authorization(now)) <= TOKEN_PERIOD_SECONDS + 60 < 3600


def test_a_token_changes_no_more_often_than_apple_allows() -> None:
    """Over a day, tokens follow each other 40 minutes apart; under 20 would be TooManyProviderTokenUpdates."""
    token = _token()
    issued = [_issued_at(token.authorization(NOW + minute * 60)) for minute in range(24 * 60)]
    changes = sorted(set(issued))
    assert {after - before for before, after in itertools.pairwise(changes)} == {2400}


@given(st.floats(min_value=NOW, max_value=NOW + 10 * TOKEN_PERIOD_SECONDS), st.floats(min_value=-2, max_value=2))
def test_clocks_that_disagree_present_two_tokens_for_no_longer_than_they_do(now: float, skew: float) -> None:
    """A sandbox whose clock is seconds off has the others' token but for those seconds, then the neighbouring one."""
    one, other = (_issued_at(_token().authorization(at)) for at in (now, now + skew))
    assert abs(one - other) in {0, TOKEN_PERIOD_SECONDS}
    if one != other:
        boundary = max(one, other) + CLOCK_SLACK_SECONDS
        assert min(now, now + skew) < boundary <= max(now, now + skew)


@pytest.mark.parametrize(
    "key", ["no key", _pem(ec.generate_private_key(ec.SECP384R1())), _pem(rsa.generate_private_key(65537, 2048))]
)
def test_a_key_that_is_none_is_told_without_being_shown(key: str) -> None:
    """A wrong .p8 file is a configuration error that names the key's id, and holds nothing of the key."""
    with pytest.raises(ConfigurationError, match=KEY_ID) as caught:
        _token(key)
    assert key not in str(caught.value)


def test_a_certificate_with_a_foreign_key_is_told(apns: SimulatedApns) -> None:
    """A certificate and a key that are no pair are a configuration error when the client is made."""
    chain = apns.chain
    credential = ClientCertificate(certificate=chain.pass_type_certificate.read_text(), private_key=P8)
    with pytest.raises(ConfigurationError, match="not a pair"):
        apns.client(credential)


def test_a_provider_token_is_taken(apns: SimulatedApns) -> None:
    """Token authentication works, and the token does not show in what is recorded."""
    assert reasons(send(apns.client(apns.provider_token()), pushes(20))) == {(200, None): 20}
    assert "authorization" not in apns.pushes()[0]["headers"]


def test_a_certificate_is_good_for_its_own_pass_type_alone(apns: SimulatedApns) -> None:
    """APNs disallows another topic, and the caller learns that this is for a person to mend."""
    outcomes = send(apns.client(), pushes(3, topic="pass.com.example.other"))
    assert {outcome.reason for outcome in outcomes} == {"TopicDisallowed"}


def test_a_token_that_expired_on_its_way_is_renewed_once(apns: SimulatedApns) -> None:
    """Where the clock has moved on to another token, the pushes are sent again with it."""

    def clock() -> float:
        """Two hours late until a push has arrived."""
        return time.time() - (0 if apns.summary()["pushes"] else 7200)

    outcomes = send(apns.client(apns.provider_token(), clock=clock), pushes(5))
    assert reasons(outcomes) == {(200, None): 5}
    assert apns.summary()["statuses"] == {"403": 1, "200": 5}


def test_a_clock_that_is_wrong_is_a_configuration_error(apns: SimulatedApns) -> None:
    """With a clock two hours late no token is young enough: nothing is lost, and nothing is hammered."""
    client = apns.client(apns.provider_token(), clock=lambda: time.time() - 7200)
    outcomes = send(client, pushes(100))
    assert {outcome.reason for outcome in outcomes} == {"ExpiredProviderToken"}
    assert apns.summary()["pushes"] == 1
