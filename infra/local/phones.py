"""A population of headless phones: thousands of devices that register, and update their passes when they get pushes.

They make the requests that real phones make, and measure what people see: when a phone shows a change, which requests
were refused, and which phones gave up. `phone.py` simulates one phone in detail; these store no passes.

A push to a phone is an empty notification (Apple, "Adding a Web Service to Update Passes"): the phone lists its changed
passes of that type and downloads each of them. A failed call is repeated as `infra/core/phone_retries.py` describes.
"""

import asyncio
import io
import json
import random
import secrets
import time
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from chalicelib.core.identifiers import PassId
from infra.core.phone_retries import Retries
from infra.local.verification import PassError, verify_manifest, verify_pass

POLL_SECONDS = 0.05
CONNECTIONS = 64
"""Requests of all phones at the same time; others wait for their turn. Each of them is a file descriptor.

They must not wait in httpx's pool of connections: it compares every request that waits with every connection each time
that a response ends, which took minutes of CPU for 3,000 phones.
"""
REQUEST_TIMEOUT_SECONDS = 60.0
"""iOS's default (Apple, `URLSessionConfiguration.timeoutIntervalForRequest`)."""
SECONDS = "passwire_seconds"
"""Duration of the call, among the extensions of its response."""
SIGNATURE_EVERY = 50
"""The signature of every 50th download is verified, the digests of each: one call of openssl takes 10 ms of CPU."""


@dataclass(slots=True)
class PhonePass:
    """A pass on a phone.

    Args:
        pass_id: the pass.
        authentication_token: the token in it.
        last_modified: the validator of its download; None before the first one.
    """

    pass_id: PassId
    authentication_token: str = field(repr=False)
    last_modified: str | None = None


@dataclass(slots=True)
class HeadlessPhone:
    """A device without a display.

    Args:
        passes: by serial number for each pass type.
        push_token: its address at APNs.
        device_library_identifier: its identifier for the web service.
        tags: of the last list call, by pass type.
        updating: whether it is making calls because of a push; another push then has it start again afterwards.
        notified: whether such another push has arrived.
        gave_up_at: when it gave up a call of its last update, epoch seconds; 0 if it did not.
    """

    passes: dict[str, dict[str, PhonePass]]
    push_token: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    device_library_identifier: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    tags: dict[str, str] = field(default_factory=dict)
    updating: bool = False
    notified: bool = False
    gave_up_at: float = 0.0

    @classmethod
    def holding(cls, tokens: Mapping[PassId, str]) -> "HeadlessPhone":
        """Make a phone with passes, given with their authentication tokens."""
        phone = cls({})
        for pass_id, token in tokens.items():
            phone.adds(pass_id, token)
        return phone

    def adds(self, pass_id: PassId, authentication_token: str) -> None:
        held = PhonePass(pass_id, authentication_token)
        self.passes.setdefault(pass_id.pass_type_identifier, {})[pass_id.serial_number] = held


@dataclass(slots=True)
class PhoneCounts:
    """Counts of all phones.

    Args:
        requests: requests, also repeated ones.
        refused: responses 429.
        refused_seconds: the sum of their durations: the time to reach the gateway, which refuses at once.
        failed: responses 5xx, and requests without a response.
        wrong: other unexpected responses, which phones do not repeat, and passes that they do not accept.
        gave_up: calls that were given up.
        pushes: pushes that arrived.
        updated: passes that were replaced.
        lists: list calls that were answered.
        list_seconds: the sum of their durations.
        downloads: downloads that were answered.
        download_seconds: the sum of their durations.
    """

    requests: int = 0
    refused: int = 0
    refused_seconds: float = 0.0
    failed: int = 0
    wrong: int = 0
    gave_up: int = 0
    pushes: int = 0
    updated: int = 0
    lists: int = 0
    list_seconds: float = 0.0
    downloads: int = 0
    download_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """A phone shows a new version of a pass.

    Args:
        phone: the phone.
        pass_id: the pass.
        content: its pass.json.
        at: epoch seconds.
    """

    phone: HeadlessPhone
    pass_id: PassId
    content: dict[str, Any]
    at: float


class GaveUpError(Exception):
    """A phone gave up a call after its last attempt, or after a response that it does not expect."""


class Phones:
    """Headless phones of one web service. Their methods are to be called in one event loop; `running` makes them.

    Args:
        phones: the population.
        api_url: the base URL of the web service.
        http: the client of all phones.
        on_shown: called for each pass that a phone replaces.
        retries: how failed calls are repeated.
        on_push: called for each push that arrives at a phone.
        connections: the number of requests of all phones at the same time.
    """

    def __init__(
        self,
        phones: Sequence[HeadlessPhone],
        *,
        api_url: str,
        http: httpx.AsyncClient,
        on_shown: Callable[[Shown], object],
        retries: Retries,
        on_push: Callable[[HeadlessPhone], object] = lambda _: None,
        connections: int = CONNECTIONS,
    ) -> None:
        self.counts = PhoneCounts()
        self._turns = asyncio.Semaphore(connections)
        self.failures: Counter[str] = Counter()
        """Parts of `counts.failed`, by status, or by the name of the error of a request without a response."""
        self._phones = {phone.push_token: phone for phone in phones}
        self._api_url = api_url.rstrip("/")
        self._http = http
        self._on_shown = on_shown
        self._on_push = on_push
        self._retries = retries
        self._random = random.Random(0)  # noqa: S311 - no secret
        self._updates: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        phones: Sequence[HeadlessPhone],
        *,
        api_url: str,
        apns_control_url: str,
        on_shown: Callable[[Shown], object] = lambda _: None,
        on_push: Callable[[HeadlessPhone], object] = lambda _: None,
        retries: Retries | None = None,
        connections: int = CONNECTIONS,
    ) -> "AsyncIterator[Phones]":
        """Switch the phones on: they receive pushes until the end of the context, and then stop at once.

        Args:
            phones: the population.
            api_url: the base URL of the web service, to which `/v1/...` is appended.
            apns_control_url: of the stand-in for APNs, from which they get pushes.
            on_shown: called for each pass that a phone replaces.
            on_push: called for each push that arrives at a phone.
            retries: how failed calls are repeated.
            connections: the number of requests of all phones at the same time.
        """
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        timeout = httpx.Timeout(REQUEST_TIMEOUT_SECONDS)
        async with httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False) as http:
            population = cls(
                phones,
                api_url=api_url,
                http=http,
                on_shown=on_shown,
                on_push=on_push,
                retries=retries or Retries(),
                connections=connections,
            )
            after = (await population._deliveries(apns_control_url, 1 << 62))["next"]  # earlier pushes are not theirs
            receiving = asyncio.create_task(population._receive(apns_control_url, after))
            try:
                yield population
            finally:
                tasks = [receiving, *population._updates]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def register(self, phones: Iterable[HeadlessPhone], *, at_once: int = 16) -> None:
        """Register all passes of phones.

        Args:
            phones: some of the population.
            at_once: the number of requests at the same time.

        Raises:
            GaveUpError: a registration was given up.
        """
        turns = asyncio.Semaphore(at_once)

        async def register_one(phone: HeadlessPhone, held: PhonePass) -> None:
            async with turns:
                await self.register_pass(phone, held)

        async with asyncio.TaskGroup() as group:
            for phone in phones:
                for passes in phone.passes.values():
                    for held in passes.values():
                        group.create_task(register_one(phone, held))

    async def register_pass(self, phone: HeadlessPhone, held: PhonePass) -> None:
        """Register one pass of a phone, which becomes part of the population.

        Raises:
            GaveUpError: the registration was given up.
        """
        self._phones[phone.push_token] = phone
        body = {"pushToken": phone.push_token}
        await self._call("POST", self._registration(phone, held.pass_id), headers=_authorization(held), json=body)

    async def unregister(self, phone: HeadlessPhone, held: PhonePass) -> None:
        """Delete the registration of a pass that a phone has removed.

        Raises:
            GaveUpError: it was given up.
        """
        await self._call("DELETE", self._registration(phone, held.pass_id), headers=_authorization(held))

    async def download(self, phone: HeadlessPhone, held: PhonePass) -> None:
        """Download a pass, as a person does who adds it or pulls its back down.

        Raises:
            GaveUpError: the download was given up.
        """
        await self._download(phone, held)

    def notify(self, phone: HeadlessPhone, pass_type_identifier: str) -> None:
        """Have a phone receive a push, after which it updates its passes of a type."""
        self.counts.pushes += 1
        self._on_push(phone)
        self.update(phone, pass_type_identifier)

    def update(self, phone: HeadlessPhone, pass_type_identifier: str) -> None:
        """Have a phone list its changed passes of a type, and download each of them."""
        if phone.updating:
            phone.notified = True
            return
        phone.updating = True
        update = asyncio.create_task(self._update(phone, pass_type_identifier))
        self._updates.add(update)
        update.add_done_callback(self._updates.discard)

    @property
    def busy(self) -> bool:
        """True while a phone makes calls, or waits to repeat one."""
        return bool(self._updates)

    async def settle(self) -> None:
        """Wait until no phone makes calls or waits to repeat one."""
        while self._updates:
            await asyncio.wait(self._updates)

    # ------------------------------------------------------------ pushes

    async def _receive(self, apns_control_url: str, after: int) -> None:
        while True:
            with suppress(httpx.TransportError):  # on a busy machine; the next request gets what this one missed
                page = await self._deliveries(apns_control_url, after)
                after = page["next"]
                for delivery in page["deliveries"]:
                    if phone := self._phones.get(delivery["token"]):
                        self.notify(phone, delivery["topic"])
            await asyncio.sleep(POLL_SECONDS)

    async def _deliveries(self, apns_control_url: str, after: int) -> dict[str, Any]:
        response = await self._http.get(f"{apns_control_url}/deliveries", params={"after": after})
        page: dict[str, Any] = response.raise_for_status().json()
        return page

    async def _update(self, phone: HeadlessPhone, pass_type_identifier: str) -> None:
        """List the changed passes and download each of them, again for each push that arrives meanwhile."""
        try:
            phone.notified = True
            while phone.notified:
                phone.notified = False
                for serial_number in await self._list(phone, pass_type_identifier):
                    if held := phone.passes.get(pass_type_identifier, {}).get(serial_number):
                        await self._download(phone, held)
            phone.gave_up_at = 0.0
        except GaveUpError:
            phone.gave_up_at = time.time()
        finally:
            phone.updating = False

    # ------------------------------------------------------------ calls

    async def _list(self, phone: HeadlessPhone, pass_type_identifier: str) -> list[str]:
        tag = phone.tags.get(pass_type_identifier)
        response = await self._call(
            "GET",
            self._registrations(phone, pass_type_identifier),
            params={} if tag is None else {"passesUpdatedSince": tag},
        )
        self.counts.lists += 1
        self.counts.list_seconds += response.extensions[SECONDS]
        if response.status_code == HTTPStatus.NO_CONTENT:
            return []
        page = response.json()
        phone.tags[pass_type_identifier] = str(page["lastUpdated"])
        return [str(serial_number) for serial_number in page["serialNumbers"]]

    async def _download(self, phone: HeadlessPhone, held: PhonePass) -> None:
        validator = {} if held.last_modified is None else {"If-Modified-Since": held.last_modified}
        pass_id = held.pass_id
        path = f"/v1/passes/{_quoted(pass_id.pass_type_identifier)}/{_quoted(pass_id.serial_number)}"
        response = await self._call("GET", path, headers={**_authorization(held), **validator})
        self.counts.downloads += 1
        self.counts.download_seconds += response.extensions[SECONDS]
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return
        try:
            content = _opened(response.content, signature=self.counts.downloads % SIGNATURE_EVERY == 0)
        except (PassError, zipfile.BadZipFile, ValueError):
            self.counts.wrong += 1
            return
        held.last_modified = response.headers.get("Last-Modified")
        self.counts.updated += 1
        self._on_shown(Shown(phone, pass_id, content, time.time()))

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - options of httpx
        for attempt in range(1, self._retries.attempts + 1):
            self.counts.requests += 1
            started = time.perf_counter()
            try:
                async with self._turns:
                    response = await self._http.request(method, self._api_url + path, **options)
            except httpx.TransportError as error:
                self.counts.failed += 1
                self.failures[type(error).__name__] += 1
            else:
                if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    self.counts.refused += 1
                    self.counts.refused_seconds += time.perf_counter() - started
                elif response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    self.counts.failed += 1
                    self.failures[str(response.status_code)] += 1
                elif response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
                    response.extensions[SECONDS] = time.perf_counter() - started
                    return response
                else:
                    self.counts.wrong += 1
                    raise GaveUpError(f"{method}: got {response.status_code}")
            if attempt < self._retries.attempts:
                await asyncio.sleep(self._retries.delay_seconds(attempt, self._random.random()))
        self.counts.gave_up += 1
        raise GaveUpError(f"{method}: failed {self._retries.attempts} times")

    def _registration(self, phone: HeadlessPhone, pass_id: PassId) -> str:
        return f"{self._registrations(phone, pass_id.pass_type_identifier)}/{_quoted(pass_id.serial_number)}"

    def _registrations(self, phone: HeadlessPhone, pass_type_identifier: str) -> str:
        return f"/v1/devices/{phone.device_library_identifier}/registrations/{_quoted(pass_type_identifier)}"


def _opened(archive: bytes, *, signature: bool) -> dict[str, Any]:
    """Read and verify a `.pkpass`; returns its pass.json.

    Raises:
        PassError, BadZipFile, ValueError: a phone does not accept it.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        files = {name: members.read(name) for name in members.namelist()}
    (verify_pass if signature else verify_manifest)(files)
    content: dict[str, Any] = json.loads(files["pass.json"])
    return content


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _authorization(held: PhonePass) -> dict[str, str]:
    return {"Authorization": f"ApplePass {held.authentication_token}"}
