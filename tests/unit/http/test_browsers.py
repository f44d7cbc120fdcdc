"""Tests of devices and languages that a browser names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.http.browsers import device_of, preferred_languages
from chalicelib.preview.link_pages import DeviceKind

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {WEBKIT}"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1", DeviceKind.IPHONE),
        (f"{IPHONE} CriOS/140.0 Mobile/15E148 Safari/604.1", DeviceKind.IPHONE),
        (f"{IPHONE} FxiOS/142.0 Mobile/15E148 Safari/605.1.15", DeviceKind.IPHONE),
        (f"{IPHONE} Mobile/15E148", DeviceKind.IPHONE_APP),
        (f"{IPHONE} Mobile/15E148 Instagram 390.0.0.28 (iPhone14,5; iOS 18_5)", DeviceKind.IPHONE_APP),
        (f"{IPHONE} Mobile/22F76 [FBAN/FBIOS;FBAV/519.0.0.60]", DeviceKind.IPHONE_APP),
        (f"{IPHONE} Mobile/15E148 Safari Line/15.10.1", DeviceKind.IPHONE_APP),
        (f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1 MicroMessenger/8.0", DeviceKind.IPHONE_APP),
        (
            f"Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) {WEBKIT} Version/18.5 Mobile/15E148 Safari/604.1",
            DeviceKind.IPAD,
        ),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.5 Safari/605.1.15", DeviceKind.MAC),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", DeviceKind.ANDROID),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", DeviceKind.OTHER),
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36", DeviceKind.OTHER),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", DeviceKind.OTHER),
        ("Amazon CloudFront", DeviceKind.OTHER),
        ("", DeviceKind.OTHER),
    ],
)
def test_device_of_a_user_agent(user_agent: str, device: DeviceKind) -> None:
    assert device_of(user_agent) is device


@pytest.mark.parametrize(
    ("header", "languages"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", ["de-AT", "de", "en"]),
        ("en;q=0.5, fr", ["fr", "en"]),
        ("de; q=0.7 , fr;q=0.701", ["fr", "de"]),
        ("de;q=0, en", ["en"]),
        ("*", []),
        ("", []),
        ("fr;q=2, en;q=x, es", ["es"]),
        ("<script>, de", ["de"]),
        ("de" + ",en" * 5_000, ["de"] + ["en"] * 332),
    ],
)
def test_languages_of_a_header(header: str, languages: list[str]) -> None:
    assert preferred_languages(header) == languages


@given(st.text(max_size=200))
def test_any_header_gives_language_tags(header: str) -> None:
    assert all(language.replace("-", "").isascii() for language in preferred_languages(header))
