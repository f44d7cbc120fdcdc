"""Tests of the pages of download links: what they offer on each device, in which language, and what they load."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings

from chalicelib.preview.barcodes import qr_code
from chalicelib.preview.link_pages import DeviceKind, LinkPage, Notice, link_image, notice_page, open_pass
from chalicelib.preview.link_words import languages, link_words
from chalicelib.preview.opened import OpenedPass
from tests.support import samples
from tests.support.pages import HOSTILE, Reading

LINK = "https://pass.acme.com/p/" + "Ab1-_" * 10
EXPIRES_AT = datetime(2026, 12, 2, 16, 20, tzinfo=UTC)


def pkpass(files: dict[str, bytes] | None = None, **changes: object) -> bytes:
    return samples.build({**samples.files_of("generic", **changes), **(files or {})})


def page_of(
    *passes: bytes,
    device: DeviceKind = DeviceKind.MAC,
    preferred: tuple[str, ...] = ("en",),
    granted: int | None = None,
    too_large: bool = False,
) -> tuple[Reading, str]:
    """Return the page of a link, and its policy."""
    numbered = list(enumerate(passes or (pkpass(),), 1))
    page = LinkPage(
        passes=numbered,
        preferred=preferred,
        device=device,
        link=LINK,
        expires_at=EXPIRES_AT,
        granted=granted or len(numbered),
        too_large=too_large,
    ).render()
    return Reading(page.html), page.policy


def text_of(page: tuple[Reading, str]) -> str:
    return " ".join(" ".join(page[0].texts).split())


def downloads(page: tuple[Reading, str]) -> list[str]:
    return [value for name, value in page[0].attributes if name == "href" and value.startswith("?download")]


def test_page_shows_the_pass_its_issuer_and_the_time_of_expiry() -> None:
    text = text_of(page_of(pkpass(organizationName="Acme Air")))
    assert "Grace Hopper" in text
    assert "Acme Air" in text
    assert "until 2026-12-02 16:20 UTC" in text


@pytest.mark.parametrize(
    ("device", "offers", "hint", "has_qr_code"),
    [
        (DeviceKind.MAC, "Add to Apple Wallet", None, True),
        (DeviceKind.IPHONE, "Add to Apple Wallet", None, False),
        (DeviceKind.IPHONE_APP, None, "Open this page in Safari", False),
        (DeviceKind.IPAD, None, "iPad has no Apple Wallet", True),
        (DeviceKind.ANDROID, "Download the pass", "WalletPasses or Pass2U Wallet", False),
        (DeviceKind.OTHER, "Download the pass", None, True),
    ],
)
def test_page_offers_what_the_device_can_do(
    device: DeviceKind, offers: str | None, hint: str | None, *, has_qr_code: bool
) -> None:
    page = page_of(device=device)
    text = text_of(page)
    assert downloads(page) == (["?download=1"] if offers else [])
    assert (offers or hint or "") in text
    assert (hint or "") in text
    assert (("d", qr_code(LINK).path) in page[0].attributes) is has_qr_code
    assert ("with the camera of an iPhone" in text) is has_qr_code


def test_page_in_an_app_shows_the_address_to_copy() -> None:
    assert LINK in text_of(page_of(device=DeviceKind.IPHONE_APP))
    assert LINK not in text_of(page_of(device=DeviceKind.MAC))


def test_page_of_several_passes_has_a_named_button_for_each() -> None:
    page = page_of(pkpass(description="One"), pkpass(description="Two"))
    assert downloads(page) == ["?download=1", "?download=2"]
    labels = [value for name, value in page[0].attributes if name == "aria-label"]
    assert {"Add to Apple Wallet: One", "Add to Apple Wallet: Two"} <= set(labels)
    assert "This link has several passes" in text_of(page)


def test_page_of_several_passes_keeps_the_colors_of_each() -> None:
    one, two = pkpass(backgroundColor="rgb(1,2,3)"), pkpass(backgroundColor="rgb(4,5,6)")
    text = text_of(page_of(one, two))
    assert "--background:rgb(1,2,3)" in text
    assert "--background:rgb(4,5,6)" in text


def test_page_says_that_passes_are_left_out_or_too_large_for_one_archive() -> None:
    assert "Some passes of this link cannot be shown" in text_of(page_of(granted=2))
    assert "too large for one download" in text_of(page_of(pkpass(), pkpass(), too_large=True))
    assert "cannot be shown" not in text_of(page_of())


def test_messengers_find_a_title_and_a_picture_without_a_photo() -> None:
    shown, _ = page_of(pkpass(description="Boarding pass", organizationName="Acme Air"))
    found = dict(zip(shown.attributes[:-1], shown.attributes[1:], strict=True))
    assert found["property", "og:title"] == ("content", "Boarding pass")
    assert found["property", "og:site_name"] == ("content", "Acme Air")
    assert found["property", "og:image"] == ("content", f"{LINK}?image=1")
    opened = OpenedPass.read(pkpass(), language="en")
    assert link_image(opened) == opened.images["logo"] != opened.images.get("thumbnail")


def test_every_language_has_every_text() -> None:
    assert len(languages()) == 10
    english = link_words(["en"]).texts
    for language in languages():
        words = link_words([language])
        assert words.language == language
        assert words.texts.keys() == english.keys()
        assert all(text.strip() for text in words.texts.values())
        assert words.texts["terms"].count("{date}") == 1
        assert language == "en" or not set(words.texts.values()) & set(english.values())


@pytest.mark.parametrize(
    ("preferred", "language", "direction"),
    [
        (("de-CH", "en"), "de", "ltr"),
        (("sv", "fr-CA", "en"), "fr", "ltr"),
        (("ar-EG",), "ar", "rtl"),
        (("zh-TW",), "zh-Hans", "ltr"),
        (("tlh",), "en", "ltr"),
        ((), "en", "ltr"),
    ],
)
def test_page_and_notice_are_in_the_first_language_that_there_is(
    preferred: tuple[str, ...], language: str, direction: str
) -> None:
    opening = [("lang", language), ("dir", direction)]
    assert page_of(preferred=preferred)[0].attributes[:2] == opening
    for notice in Notice:
        assert Reading(notice_page(notice, preferred).html).attributes[:2] == opening


def test_pass_is_in_the_first_preferred_language_that_it_has() -> None:
    """The reader's phone would choose by the same list."""
    strings = {f"{name}.lproj/pass.strings": f'"Pass" = "{name}";'.encode() for name in ("de", "fr")}
    raw = pkpass(strings, description="Pass")
    for preferred, expected in ((["nl", "fr-CH", "de"], "fr"), (["de"], "de"), (["de-AT", "fr"], "de")):
        assert open_pass(raw, preferred).text("Pass") == expected


@settings(max_examples=20)
@given(text=HOSTILE, language=HOSTILE)
def test_text_of_a_pass_never_becomes_markup(text: str, language: str) -> None:
    def tags(value: str) -> list[str]:
        fields = [{"key": "a", "label": value, "value": value}]
        raw = pkpass(generic={"primaryFields": fields}, description=value, organizationName=value)
        return page_of(raw, raw, preferred=(language,), device=DeviceKind.ANDROID)[0].tags

    assert tags(text) == tags("harmless")


def test_page_loads_nothing_and_runs_only_its_own_script() -> None:
    """The URL is a secret, which a request to another site could reveal."""
    shown, policy = page_of()
    assert policy in [value for _, value in shown.attributes]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    loaded = [value for name, value in shown.attributes if name in ("src", "srcset", "action", "data", "poster")]
    assert {value.partition(",")[0] for value in loaded} == {"data:image/png;base64"}
    assert not {"link", "iframe", "form", "object", "base"} & set(shown.tags)


def test_notice_has_no_script() -> None:
    for notice in Notice:
        shown = notice_page(notice, ["en"])
        assert Reading(shown.html).tags == ["html", "head", *["meta"] * 4, "title", "style", "body", "main", "h1", "p"]
        assert "script-src" not in shown.policy
