"""Tests of credentials: handshake, headers, and when a provider token changes."""

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
from tests.support.simulated_apns import ApnsForTests, pushes, reasons, send

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


def test_provider_token_has_the_form_that_apple_documents(chain: DevelopmentChain) -> None:
    """It is an ES256 token with team, key id and time."""
    authorization = _token(chain.provider_key.read_text()).authorization(time.time())
    assert authorization is not None
    scheme, token = authorization.split()
    claims = jwt.decode(token, chain.provider_public_key.read_text(), algorithms=["ES256"])
    assert scheme == b"bearer"
    assert claims.keys() == {"iss", "iat"}
    assert claims["iss"] == TEAM_IDENTIFIER
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"}


def test_execution_environments_present_the_same_token() -> None:
    """Two processes with the same key make the same bytes in the same period: APNs sees one token, not a thousand."""
    assert _token().authorization(NOW) == _token().authorization(NOW + 1)


@given(st.floats(min_value=NOW, max_value=NOW + 10 * TOKEN_PERIOD_SECONDS))
def test_token_is_never_from_the_future_and_never_an_hour_old(now: float) -> None:
    """At any time the token is old enough for a slow clock at Apple and not close to its expiry."""
    assert 60 <= now - _issued_at(_token().authorization(now)) <= TOKEN_PERIOD_SECONDS + 60 < 3600


def test_token_changes_no_more_often_than_apple_allows() -> None:
    """Over a day, tokens are issued 40 minutes apart; APNs refuses less than 20 (TooManyProviderTokenUpdates)."""
    token = _token()
    issued = [_issued_at(token.authorization(NOW + minute * 60)) for minute in range(24 * 60)]
    changes = sorted(set(issued))
    assert {after - before for before, after in itertools.pairwise(changes)} == {2400}


@given(st.floats(min_value=NOW, max_value=NOW + 10 * TOKEN_PERIOD_SECONDS), st.floats(min_value=-2, max_value=2))
def test_clocks_that_differ_present_two_tokens_only_for_their_difference(now: float, skew: float) -> None:
    """Execution environments present the same token except around the end of a period."""
    one, other = (_issued_at(_token().authorization(at)) for at in (now, now + skew))
    assert abs(one - other) in {0, TOKEN_PERIOD_SECONDS}
    if one != other:
        boundary = max(one, other) + CLOCK_SLACK_SECONDS
        assert min(now, now + skew) < boundary <= max(now, now + skew)


@pytest.mark.parametrize(
    "key", ["no key", _pem(ec.generate_private_key(ec.SECP384R1())), _pem(rsa.generate_private_key(65537, 2048))]
)
def test_invalid_key_is_a_configuration_error_that_does_not_show_it(key: str) -> None:
    """The error names the key id and contains nothing of the key."""
    with pytest.raises(ConfigurationError, match=KEY_ID) as caught:
        _token(key)
    assert key not in str(caught.value)


def test_certificate_with_another_key_is_a_configuration_error(apns: ApnsForTests) -> None:
    chain = apns.chain
    credential = ClientCertificate(certificate=chain.pass_type_certificate.read_text(), private_key=P8)
    with pytest.raises(ConfigurationError, match="private key does not belong to it"):
        apns.client(credential)


def test_provider_token_is_accepted_and_not_recorded(apns: ApnsForTests) -> None:
    assert reasons(send(apns.client(apns.provider_token()), pushes(20))) == {(200, None): 20}
    assert "authorization" not in apns.pushes()[0]["headers"]


def test_certificate_is_valid_for_its_own_pass_type_only(apns: ApnsForTests) -> None:
    outcomes = send(apns.client(), pushes(3, topic="pass.com.example.other"))
    assert {outcome.reason for outcome in outcomes} == {"TopicDisallowed"}


def test_expired_token_is_renewed_once(apns: ApnsForTests) -> None:
    """If the clock has reached another period, the pushes are sent again with its token."""

    def clock() -> float:
        """Is two hours slow until a push has arrived."""
        return time.time() - (0 if apns.summary()["pushes"] else 7200)

    outcomes = send(apns.client(apns.provider_token(), clock=clock), pushes(5))
    assert reasons(outcomes) == {(200, None): 5}
    assert apns.summary()["statuses"] == {"403": 1, "200": 5}


def test_wrong_clock_is_a_configuration_error(apns: ApnsForTests) -> None:
    """With a clock two hours slow every token is expired: one push is sent, the others are retried later."""
    client = apns.client(apns.provider_token(), clock=lambda: time.time() - 7200)
    outcomes = send(client, pushes(100))
    assert {outcome.reason for outcome in outcomes} == {"ExpiredProviderToken"}
    assert apns.summary()["pushes"] == 1
