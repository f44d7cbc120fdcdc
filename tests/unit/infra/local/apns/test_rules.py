"""Tests of APNs' checks of requests. Each documented refusal is tested through the sockets in test_apns.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.apns.rules import ALWAYS, CACHE_SECONDS, MAX_CACHED, Rules, wrong_body, wrong_path
from infra.local.apns.values import Headers

NOW = 1_800_000_000.0
TOPIC = b"pass.com.acme"
UUID = b"123e4567-e89b-12d3-a456-42665544000a"


def headers(**changes: bytes) -> Headers:
    made = {b":method": b"POST", b":path": b"/3/device/x", b"apns-topic": TOPIC}
    return tuple((made | {name.replace("_", "-").encode(): value for name, value in changes.items()}).items())


def reason(given: Headers, *, topics: frozenset[bytes] | None = frozenset({TOPIC})) -> str | None:
    wrong = Rules(topics=topics, provider_keys={}).verdict(given, NOW).wrong
    return wrong.reason if wrong else None


def test_valid_request_is_accepted_and_its_id_kept() -> None:
    verdict = Rules(topics=frozenset({TOPIC}), provider_keys={}).verdict(headers(apns_id=UUID), NOW)
    assert (verdict.wrong, verdict.apns_id, verdict.until) == (None, UUID, ALWAYS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"apns_topic": b"other"}, "TopicDisallowed"),
        ({"apns_id": b"123"}, "BadMessageId"),
        ({"apns_expiration": b"soon"}, "BadExpirationDate"),
        ({"apns_push_type": b"voip"}, "InvalidPushType"),
        ({"apns_priority": b"7"}, "BadPriority"),
        ({"apns_push_type": b"background", "apns_priority": b"10"}, "BadPriority"),
        ({"apns_collapse_id": b"x" * 65}, "BadCollapseId"),
        ({"apns_push_type": b"background", "apns_priority": b"5", "apns_expiration": b"0"}, None),
    ],
)
def test_header_is_checked(changes: dict[str, bytes], expected: str | None) -> None:
    assert reason(headers(**changes)) == expected


def test_repeated_header_is_refused() -> None:
    assert reason((*headers(), (b"apns-topic", TOPIC))) == "DuplicateHeaders"


def test_sender_without_certificate_needs_a_token() -> None:
    assert reason(headers(), topics=None) == "MissingProviderToken"
    assert reason(headers(authorization=b"bearer x.y.z"), topics=None) == "InvalidProviderToken"


def test_result_for_a_token_is_cached_briefly_and_others_always() -> None:
    rules = Rules(topics=None, provider_keys={})
    given = headers(authorization=b"bearer x")
    first = rules.verdict(given, NOW)
    assert first.until == NOW + CACHE_SECONDS
    assert rules.verdict(given, NOW + CACHE_SECONDS / 2) is first
    assert rules.verdict(given, NOW + CACHE_SECONDS) is not first
    for number in range(MAX_CACHED + 5):
        rules.verdict(headers(number=str(number).encode()), NOW)
    assert rules.verdict(given, NOW).until == NOW + CACHE_SECONDS, "a full cache is emptied"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/3/device/" + b"ab" * 32, None),
        (b"/3/device/", "MissingDeviceToken"),
        (b"/3/device/a/b", "BadDeviceToken"),
        (b"/3/device/\xff", "BadDeviceToken"),
        (b"/3/device/" + b"f" * 64, "BadDeviceToken"),
        (b"/2/device/x", "BadPath"),
    ],
)
def test_path_is_checked(path: bytes, expected: str | None) -> None:
    wrong = wrong_path(path)
    assert (wrong.reason if wrong else None) == expected


@given(st.integers(0, 5000))
def test_payload_has_one_byte_to_four_kilobytes(size: int) -> None:
    assert (wrong_body(bytes(size)) is None) == (1 <= size <= 4096)
