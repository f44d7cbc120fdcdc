"""Tests of answers to download links: a pass, all passes, an image or a page."""

import io
import zipfile
from typing import Any

import pytest
from chalice.app import Request

from chalicelib.core.identifiers import PassId
from chalicelib.core.links import Link, LinkError
from chalicelib.flows.open_link import LinkedPass, OpenedLink
from chalicelib.http.pages import MAX_ARCHIVE_BYTES, Wanted, answer, number, wanted
from chalicelib.http.responses import PKPASS, PKPASSES
from chalicelib.settings import Settings
from chalicelib.updates.conditional import validators_of
from chalicelib.updates.protocol import Version
from tests.support.complete_settings import COMPLETE
from tests.support.in_process import gateway_event

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Mobile/15E148 Safari/604.1"
)
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
TWO = (b"PK-first", b"PK-second")


def request(query: str = "", agent: str = WINDOWS, method: str = "GET") -> Request:
    return Request(gateway_event(method, "/p/{token}", "t", query=query, headers={"User-Agent": agent}), None)


def opened(*archives: bytes) -> OpenedLink:
    ids = tuple(PassId("pass.com.acme", str(each)) for each in range(1, len(archives) + 1))
    validators = validators_of(Version(100, revision=1))
    passes = tuple(LinkedPass(place, archive, validators) for place, archive in enumerate(archives, 1))
    return OpenedLink(Link(ids, 2_000_000_000), passes)


def answered(found: OpenedLink, asked: Request) -> Any:  # noqa: ANN401 - Chalice's response
    return answer(found, "t", settings=Settings.from_environment(COMPLETE), request=asked)


@pytest.mark.parametrize(
    ("query", "agent", "expected"),
    [
        ("", IPHONE, Wanted.PASS),
        ("", WINDOWS, Wanted.PAGE),
        ("download=1", WINDOWS, Wanted.PASS),
        ("download", WINDOWS, Wanted.PASS),
        ("image=1", IPHONE, Wanted.IMAGE),
        ("image=1&download=1", IPHONE, Wanted.IMAGE),
    ],
)
def test_query_decides_before_the_browser(query: str, agent: str, expected: Wanted) -> None:
    assert wanted(request(query, agent)) is expected


@pytest.mark.parametrize(
    ("query", "expected"), [("", None), ("download=", 1), ("download=7", 7), ("download=07", 7), ("image=9", 1)]
)
def test_number_of_the_wanted_pass(query: str, expected: int | None) -> None:
    assert number(request(query)) == expected


@pytest.mark.parametrize("text", ["x", "-1", "1.0", "123", "\u0663", "%0a1"])
def test_number_in_another_form_is_an_invalid_link(text: str) -> None:
    with pytest.raises(LinkError):
        number(request(f"download={text}"))


def test_one_pass_is_sent_with_its_validators() -> None:
    response = answered(opened(b"PK"), request(agent=IPHONE))
    assert (response.body, response.headers["Content-Type"]) == (b"PK", PKPASS)
    assert response.headers["Last-Modified"] == "Thu, 01 Jan 1970 00:01:40 GMT"
    assert response.headers["Cache-Control"] == "private, no-store"


def test_several_passes_are_sent_as_one_archive() -> None:
    response = answered(opened(*TWO), request(agent=IPHONE))
    assert response.headers["Content-Type"] == PKPASSES
    with zipfile.ZipFile(io.BytesIO(response.body)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "1.pkpass": TWO[0],
            "2.pkpass": TWO[1],
        }


def test_head_has_the_headers_without_the_body() -> None:
    whole = answered(opened(*TWO), request(agent=IPHONE))
    head = answered(opened(*TWO), request(agent=IPHONE, method="HEAD"))
    assert (head.body, head.headers) == (b"", whole.headers)


def test_largest_archive_fits_the_answer_of_a_function() -> None:
    """As base64, which is a third larger, with headers."""
    assert MAX_ARCHIVE_BYTES * 4 / 3 + 10_000 < 6 * 1024 * 1024
