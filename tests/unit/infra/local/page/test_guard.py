"""Requests of other sites are refused, and every response has the headers that protect the page."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from infra.local.page.guard import HEADERS, Guard

HOST = "127.0.0.1:8000"


async def _answer(_: Request) -> Response:
    return PlainTextResponse("reached")


def call(method: str, headers: dict[str, str]) -> httpx.Response:
    """Send a request through the guard."""
    routes = [Route("/", _answer, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, port=8000)])

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as client:
            return await client.request(method, "/", headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("host", [HOST, "localhost:8000"])
def test_own_names_are_answered(host: str) -> None:
    assert call("GET", {"Host": host}).text == "reached"


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8000.evil.example", ""])
def test_host_of_another_site_is_refused(host: str) -> None:
    assert call("GET", {"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://evil.example/{HOST}"},
        {"Origin": f"http://{HOST}@evil.example"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_post_of_another_site_is_refused(headers: dict[str, str]) -> None:
    assert call("POST", headers).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": f"http://{HOST}"}, {"Sec-Fetch-Site": "same-origin"}, {}])
def test_own_post_is_answered(headers: dict[str, str]) -> None:
    assert call("POST", headers).text == "reached"


@pytest.mark.parametrize("host", [HOST, "evil.example"])
def test_every_response_has_the_headers(host: str) -> None:
    sent = call("GET", {"Host": host}).headers
    assert {name: sent.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in sent["Content-Security-Policy"]
    assert sent["Cache-Control"] == "no-store"
