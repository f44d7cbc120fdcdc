"""Tests of the headless phones, with a web service that this file defines."""

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import PassId
from infra.core.phone_retries import Retries
from infra.local.phones import SIGNATURE_EVERY, HeadlessPhone, PhoneCounts, Phones, Shown

TYPE = "pass.com.example.phones"
PASS = PassId(TYPE, "A 1")
QUICK = Retries(attempts=3, first_delay_seconds=0.001, spread=0)


def archive(**content: object) -> bytes:
    """A pass with an invalid signature, which phones verify for some downloads only."""
    files = {"pass.json": json.dumps(content).encode(), "icon.png": b"icon"}
    digests = {name: hashlib.sha1(data).hexdigest() for name, data in files.items()}  # noqa: S324 - Apple's choice
    files |= {"manifest.json": json.dumps(digests).encode(), "signature": b"not verified"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as members:
        for name, data in files.items():
            members.writestr(name, data)
    return packed.getvalue()


class WebService:
    """Answers list calls and downloads; `answers` come first, one per request."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: Iterator[httpx.Response] = iter(answers)
        self.version = 1
        self.on_request: Callable[[], object] = lambda: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.on_request()
        if (answer := next(self.answers, None)) is not None:
            return answer
        if "/registrations/" in request.url.path and request.method == "GET":
            return httpx.Response(
                200, json={"serialNumbers": [PASS.serial_number], "lastUpdated": f"tag{self.version}"}
            )
        if request.headers.get("If-Modified-Since") == f"date{self.version}":
            return httpx.Response(304)
        headers = {"Last-Modified": f"date{self.version}"}
        return httpx.Response(200, content=archive(version=self.version), headers=headers)


def play(service: WebService, *, pushes: int = 1) -> tuple[PhoneCounts, list[Shown], HeadlessPhone]:
    """Send pushes to one phone, each after it has settled; returns what it did."""
    phone = HeadlessPhone.holding({PASS: "token"})
    shown: list[Shown] = []

    async def run() -> PhoneCounts:
        async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
            phones = Phones([phone], api_url="https://a.example/", http=http, on_shown=shown.append, retries=QUICK)
            for _ in range(pushes):
                phones.notify(phone, TYPE)
                await phones.settle()
            return phones.counts

    return asyncio.run(run()), shown, phone


def test_phone_lists_and_downloads_after_a_push() -> None:
    service = WebService()
    counts, shown, phone = play(service)
    assert [request.url.raw_path.decode() for request in service.requests] == [
        f"/v1/devices/{phone.device_library_identifier}/registrations/{TYPE}",
        f"/v1/passes/{TYPE}/A%201",
    ]
    assert service.requests[1].headers["Authorization"] == "ApplePass token"
    assert [(each.pass_id, each.content["version"]) for each in shown] == [(PASS, 1)]
    assert (counts.requests, counts.pushes, counts.updated, counts.gave_up) == (2, 1, 1, 0)


def test_phone_sends_its_tag_and_its_validator_the_next_time() -> None:
    service = WebService()
    counts, shown, _ = play(service, pushes=2)
    assert service.requests[2].url.params["passesUpdatedSince"] == "tag1"
    assert service.requests[3].headers["If-Modified-Since"] == "date1"
    assert (len(shown), counts.updated) == (1, 1)


def test_phone_does_not_download_if_nothing_changed() -> None:
    counts, shown, _ = play(WebService(httpx.Response(204)))
    assert (counts.requests, shown) == (1, [])


@pytest.mark.parametrize(("status", "counted"), [(429, "refused"), (500, "failed"), (503, "failed")])
def test_refused_call_is_repeated(status: int, counted: str) -> None:
    counts, shown, _ = play(WebService(httpx.Response(status), httpx.Response(status)))
    assert getattr(counts, counted) == 2
    assert (counts.requests, len(shown), counts.gave_up) == (4, 1, 0)


def test_failed_calls_are_counted_by_status_or_error() -> None:
    service = WebService(httpx.Response(503))
    phone = HeadlessPhone.holding({PASS: "token"})

    def break_connection() -> None:
        if len(service.requests) == 2:
            raise httpx.ReadError("reset")

    async def run() -> Phones:
        async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
            phones = Phones([phone], api_url="https://a.example", http=http, on_shown=print, retries=QUICK)
            service.on_request = break_connection
            phones.notify(phone, TYPE)
            await phones.settle()
            return phones

    phones = asyncio.run(run())
    assert (phones.failures, phones.counts.failed) == ({"503": 1, "ReadError": 1}, 2)


def test_phone_gives_up_after_its_last_attempt_until_the_next_push() -> None:
    service = WebService(*[httpx.Response(429) for _ in range(QUICK.attempts)])
    counts, shown, phone = play(service)
    assert (counts.requests, counts.gave_up, shown) == (QUICK.attempts, 1, [])
    assert phone.gave_up_at
    service = WebService(*[httpx.Response(429) for _ in range(QUICK.attempts)])
    counts, shown, phone = play(service, pushes=2)
    assert (counts.gave_up, len(shown)) == (1, 1)
    assert not phone.gave_up_at


def test_phone_does_not_repeat_a_call_that_is_wrong() -> None:
    counts, shown, _ = play(WebService(httpx.Response(401)))
    assert (counts.requests, counts.wrong, counts.gave_up, shown) == (1, 1, 0, [])


@pytest.mark.parametrize("body", [b"no zip", archive(version=1)[:-30]])
def test_phone_does_not_accept_a_damaged_pass(body: bytes) -> None:
    service = WebService()
    listed = httpx.Response(200, json={"serialNumbers": [PASS.serial_number], "lastUpdated": "t"})
    service.answers = iter([listed, httpx.Response(200, content=body)])
    counts, shown, _ = play(service)
    assert (counts.wrong, shown) == (1, [])


def test_signature_of_some_downloads_is_verified() -> None:
    service = WebService()

    def change() -> None:
        service.version += len(service.requests) % 2

    service.on_request = change
    counts, shown, _ = play(service, pushes=SIGNATURE_EVERY)
    assert (counts.wrong, len(shown)) == (1, SIGNATURE_EVERY - 1)


def test_push_during_an_update_leads_to_another_one() -> None:
    """The second push arrives while the phone makes its first call, and the pass changes after that."""
    service = WebService()
    phone = HeadlessPhone.holding({PASS: "token"})
    shown: list[Shown] = []

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
            phones = Phones([phone], api_url="https://a.example", http=http, on_shown=shown.append, retries=QUICK)

            def change() -> None:
                if len(service.requests) == 2:
                    phones.notify(phone, TYPE)
                elif len(service.requests) == 3:
                    service.version = 2

            service.on_request = change
            phones.notify(phone, TYPE)
            await phones.settle()

    asyncio.run(run())
    assert [each.content["version"] for each in shown] == [1, 2]


def test_registration_sends_the_push_token() -> None:
    service = WebService(httpx.Response(201))
    phone = HeadlessPhone.holding({PASS: "token"})

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
            phones = Phones([phone], api_url="https://a.example", http=http, on_shown=print, retries=QUICK)
            await phones.register([phone])

    asyncio.run(run())
    (request,) = service.requests
    assert json.loads(request.content) == {"pushToken": phone.push_token}
    assert request.url.path == f"/v1/devices/{phone.device_library_identifier}/registrations/{TYPE}/A 1"
    assert phone.push_token not in repr(phone)
    assert "token'" not in repr(phone)


def test_person_removes_a_pass_and_refreshes_another() -> None:
    service = WebService(httpx.Response(200))
    phone = HeadlessPhone.holding({PASS: "token"})
    held = phone.passes[TYPE]["A 1"]
    shown: list[Shown] = []
    notified: list[HeadlessPhone] = []

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as http:
            phones = Phones(
                [phone],
                api_url="https://a.example",
                http=http,
                on_shown=shown.append,
                retries=QUICK,
                on_push=notified.append,
            )
            await phones.unregister(phone, held)
            await phones.download(phone, held)
            phones.update(phone, TYPE)
            await phones.settle()

    asyncio.run(run())
    removal, download, listing, again = service.requests
    path = f"/v1/devices/{phone.device_library_identifier}/registrations/{TYPE}"
    assert (removal.method, removal.url.path) == ("DELETE", f"{path}/A 1")
    assert removal.headers["Authorization"] == "ApplePass token"
    assert (download.method, download.url.path) == ("GET", f"/v1/passes/{TYPE}/A 1")
    assert listing.url.path == path
    assert again.headers["If-Modified-Since"] == "date1"
    assert (len(shown), notified) == (1, [])


@given(st.floats(0, 1), st.floats(0, 1))
def test_delays_grow_whatever_the_chance(one: float, other: float) -> None:
    retries = Retries()
    delays = [retries.delay_seconds(failed, chance) for failed, chance in enumerate((one, other, one), start=1)]
    assert all(earlier < later for earlier, later in pairwise(delays))
    assert 0.75 * 5 <= delays[0] <= 1.25 * 5


def test_phones_receive_pushes_after_the_stand_in_for_apns_failed_to_answer() -> None:
    phone = HeadlessPhone.holding({PASS: "token"})
    delivery = {"token": phone.push_token, "topic": TYPE}
    pages = iter([{"next": 1, "deliveries": []}, None, {"next": 2, "deliveries": [delivery]}])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/deliveries" not in await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        elif (page := next(pages, {"next": 2, "deliveries": []})) is not None:
            body = json.dumps(page).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
        writer.close()

    async def run() -> None:
        arrived = asyncio.Event()
        async with await asyncio.start_server(answer, "127.0.0.1") as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with Phones.running(
                [phone], api_url=url, apns_control_url=url, on_push=lambda _: arrived.set(), retries=QUICK
            ):
                await asyncio.wait_for(arrived.wait(), 10)

    asyncio.run(run())
