"""Download links as API Gateway passes them on: who gets what, and what no caller must get."""

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.preview.barcodes import qr_code
from infra.local.phone import SAFARI, InstalledPass
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.in_process import DOMAIN, Answer, InProcess
from tests.support.routes import LINK
from tests.support.scanner import drawn

MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Safari/605.1.15"
)
"""Safari on a Mac, and on an iPad too."""
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
IN_AN_APP = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
)
CHROME_ON_IPHONE = IN_AN_APP.replace("Mobile", "CriOS/140.0 Mobile") + " Safari/604.1"
PKPASS = "application/vnd.apple.pkpass"
HTML = "text/html; charset=utf-8"


class Visitor:
    """A person with a link, and any browser."""

    def __init__(self, service: InProcess, pipeline: Pipeline, issuer: Issuer) -> None:
        self.service = service
        self.serial_number = secrets.token_hex(8)
        self.pass_id = pipeline.writes(self.serial_number, fields={"passenger": "<b>Ada</b>"})
        self.token = issuer.link_token(self.pass_id)

    def opens(
        self, agent: str | None = WINDOWS, *, token: str = "", method: str = "GET", query: str = "", **headers: str
    ) -> Answer:
        named = {"User-Agent": agent} if agent is not None else {}
        return self.service.calls(method, LINK, token or self.token, query=query, headers={**named, **headers})


@pytest.fixture
def visitor(stack: LocalRun, pipeline: Pipeline, issuer: Issuer) -> Iterator[Visitor]:
    visitor = Visitor(InProcess(stack), pipeline, issuer)
    yield visitor
    pipeline.deletes(visitor.pass_id)


@pytest.mark.parametrize(
    ("agent", "query", "content_type"),
    [
        (SAFARI, "", PKPASS),
        (CHROME_ON_IPHONE, "", PKPASS),
        (IN_AN_APP, "", HTML),
        (MAC, "", HTML),
        (WINDOWS, "", HTML),
        ("Amazon CloudFront", "", HTML),
        ("", "", HTML),
        (None, "", HTML),
        (MAC, "download", PKPASS),
        (IN_AN_APP, "download=", PKPASS),
        (None, "download=1", PKPASS),
    ],
)
def test_iphone_gets_the_pass_and_other_clients_a_page_with_a_button(
    visitor: Visitor, agent: str | None, query: str, content_type: str
) -> None:
    for method in ("GET", "HEAD"):
        answer = visitor.opens(agent, method=method, query=query)
        assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
        assert bool(answer.body) is (method == "GET")


def test_pass_has_its_permanent_token_and_last_modified_date(
    visitor: Visitor, issuer: Issuer, pipeline: Pipeline
) -> None:
    answer = visitor.opens(SAFARI)
    content = InstalledPass.open(answer.body, language="en", last_modified=None).content
    assert content["authenticationToken"] == issuer.token(visitor.pass_id)
    assert content["webServiceURL"] == f"https://{DOMAIN}/api"
    assert answer.headers["Content-Disposition"] == 'inline; filename="pass.pkpass"'
    assert answer.headers["Last-Modified"].endswith(" GMT")
    pipeline.writes(visitor.serial_number, authentication_token="its-own-token-of-old")
    content = InstalledPass.open(visitor.opens(SAFARI).body, language="en", last_modified=None).content
    assert content["authenticationToken"] == "its-own-token-of-old"


def test_page_is_text_without_a_secret_of_the_pass(visitor: Visitor, issuer: Issuer) -> None:
    """With binary media types `*/*`, what Chalice took for binary would arrive as base64."""
    page = visitor.opens(**{"Accept-Language": "de-AT,en;q=0.8", "Accept": "text/html,*/*;q=0.8"})
    assert (page.base64, visitor.opens(SAFARI).base64, visitor.opens(token="none").base64) == (False, True, False)
    html = page.body.decode()
    assert html.startswith('<!DOCTYPE html>\n<html lang="de" dir="ltr">')
    assert "Karte laden" in html
    assert "&lt;b&gt;Ada&lt;/b&gt;" in html
    assert issuer.token(visitor.pass_id) not in html


def test_qr_code_of_the_page_contains_its_link(visitor: Visitor) -> None:
    picture = qr_code(f"https://{DOMAIN}/api/p/{visitor.token}")
    assert picture.path in visitor.opens().body.decode()
    read = drawn(picture)
    assert read is not None
    assert read.text.endswith(visitor.token)


def test_answers_are_not_cached_indexed_framed_or_sent_as_referrer(visitor: Visitor) -> None:
    for answer in (visitor.opens(), visitor.opens(SAFARI), visitor.opens(token="none")):
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.headers["Content-Type"] == HTML:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert policy.endswith("; form-action 'none'; frame-ancestors 'none'")


def test_all_invalid_links_get_the_same_answer(visitor: Visitor, issuer: Issuer, pipeline: Pipeline) -> None:
    """An invalid link gets a page with 404, an expired one 410; neither page repeats the request."""
    gone = pipeline.writes(f"{visitor.serial_number}-gone")
    gone_token = issuer.link_token(gone)
    pipeline.deletes(gone)
    never = ["<script>alert(1)</script>", "none", visitor.token + "x", visitor.token[:-2], "%3Cb%3E", "a.b.c"]
    was = [issuer.link_token(visitor.pass_id, lifetime_seconds=-1), gone_token]
    answers = [(404, visitor.opens(token=token)) for token in never] + [(410, visitor.opens(token=t)) for t in was]
    assert [answer.status for _, answer in answers] == [status for status, _ in answers]
    assert len({answer.body for _, answer in answers}) == 1
    assert b"There is no pass at this link" in answers[0][1].body
    assert len({tuple(sorted(answer.headers.items())) for _, answer in answers}) == 1


def test_error_of_a_pass_is_a_page_without_internal_details(
    visitor: Visitor, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.writes(visitor.serial_number, fields={"no_such_field": "x"})
    for agent in (WINDOWS, SAFARI):
        answer = visitor.opens(agent)
        assert (answer.status, answer.headers["Content-Type"]) == (500, HTML)
        assert b"The problem has been logged" in answer.body
        assert b"no_such_field" not in answer.body
    assert "no_such_field" in capsys.readouterr().out


def test_visit_is_logged_with_its_pass_and_without_the_link(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor.opens()
    visitor.opens(SAFARI)
    visitor.opens(token=visitor.token + "x")
    logged = capsys.readouterr().out
    lines: list[dict[str, Any]] = [json.loads(line) for line in logged.splitlines()]
    opened = [line for line in lines if line.get("event") == "link_opened"]
    assert [(line["pass_id"], line["asked_for"]) for line in opened] == [
        (str(visitor.pass_id), "page"),
        (str(visitor.pass_id), "pass"),
    ]
    assert [line["status"] for line in lines if line.get("event") == "request_failed"] == [404]
    assert visitor.token[:-1] not in logged


def test_page_asks_to_try_again_while_the_database_fails(stack: LocalRun, issuer: Issuer, visitor: Visitor) -> None:
    away = InProcess(stack, PASSWIRE_PASSES_TABLE="there-are-no-passes")
    answer = away.calls("GET", LINK, issuer.link_token(visitor.pass_id))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert b"Open the link again in a minute" in answer.body


def test_iphone_gets_several_passes_in_one_archive_and_other_clients_a_page_with_each(
    visitor: Visitor, pipeline: Pipeline, issuer: Issuer
) -> None:
    other = pipeline.writes(f"{visitor.serial_number}-other", fields={"passenger": "Grace"})
    token = issuer.link_token(visitor.pass_id, other)
    archive = visitor.opens(SAFARI, token=token)
    assert (archive.headers["Content-Type"], archive.base64) == ("application/vnd.apple.pkpasses", True)
    with zipfile.ZipFile(io.BytesIO(archive.body)) as passes:
        serials = [
            InstalledPass.open(passes.read(name), language="en", last_modified=None).content["serialNumber"]
            for name in passes.namelist()
        ]
    assert serials == [visitor.serial_number, other.serial_number]
    page = visitor.opens(MAC, token=token).body.decode()
    assert ['href="?download=1"' in page, 'href="?download=2"' in page, "Grace" in page] == [True] * 3
    second = visitor.opens(MAC, token=token, query="download=2")
    content = InstalledPass.open(second.body, language="en", last_modified=None).content
    assert (second.headers["Content-Type"], content["serialNumber"]) == (PKPASS, other.serial_number)
    for wrong in ("0", "3", "-1", "x", "1e1", "9" * 5000):
        assert visitor.opens(MAC, token=token, query=f"download={wrong}").status == 404
    pipeline.deletes(other)
    left = visitor.opens(MAC, token=token)
    assert (left.status, b"Some passes of this link cannot be shown" in left.body) == (200, True)
    assert visitor.opens(SAFARI, token=token).headers["Content-Type"] == PKPASS


def test_link_has_a_picture_for_messengers(visitor: Visitor) -> None:
    picture = visitor.opens("facebookexternalhit/1.1", query="image=1")
    assert (picture.status, picture.headers["Content-Type"], picture.base64) == (200, "image/png", True)
    assert picture.body.startswith(b"\x89PNG")
    assert f"/p/{visitor.token}?image=1" in visitor.opens().body.decode()
    assert picture.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(("languages", "text"), [("fr-CH, fr;q=0.9", "Aucune carte"), ("ja," + "x" * 10_000, "パス")])
def test_errors_are_in_the_readers_language(visitor: Visitor, languages: str, text: str) -> None:
    assert text in visitor.opens(token="none", **{"Accept-Language": languages}).body.decode()
