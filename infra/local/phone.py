"""A simulated iPhone: keeps passes, tags and validators as Wallet does, and uses the web service by HTTP only.

It replaces the only part that cannot run here. It verifies each pass with `verification.py`. Unlike a phone, it trusts
any root, does not retry failed calls, and displays nothing. As real devices do, it uses the `webServiceURL` and
`authenticationToken` of the pass, appends `/v1`, keeps a tag per pass type, sends `If-Modified-Since` with the date of
the last download, and replaces a pass only by one that it got with 200.
"""

import io
import json
import secrets
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import httpx

from chalicelib.core.errors import PasswireError
from chalicelib.passes.format.keys import FIELD_GROUPS, STYLES
from chalicelib.passes.strings import parse_strings, pick_language
from infra.local.verification import PassError, verify_pass

PKPASS = "application/vnd.apple.pkpass"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


LANGUAGE_FOLDER = ".lproj"


class PhoneError(PasswireError):
    """The web service gave an answer with which a phone cannot continue."""


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """One step of a phone, for a timeline.

    Args:
        kind: open, register, unregister, list, download, verify or log.
        text: the result, in a few words.
        ok: False if it failed.
        request: the request and the status of its answer, without secrets; empty if there was none.
        seconds: how long it took.
    """

    kind: str
    text: str
    ok: bool = True
    request: str = ""
    seconds: float = 0.0


def ignore_event(_: PhoneEvent) -> None:
    """Discard an event."""


@dataclass(frozen=True)
class InstalledPass:
    """A pass on the phone, the validator of its download, and the language folder that the phone shows."""

    content: dict[str, Any]
    strings: dict[str, str] = field(repr=False)
    archive: bytes = field(repr=False)
    last_modified: str | None = None
    language: str | None = None

    @classmethod
    def open(cls, archive: bytes, *, language: str, last_modified: str | None, verify: bool = True) -> Self:
        """Read a `.pkpass`.

        Args:
            archive: the file.
            language: of the phone.
            last_modified: validator of the download.
            verify: False for a pass that was verified before.

        Raises:
            PassError: the pass is not validly signed.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as members:
                files = {name: members.read(name) for name in members.namelist()}
        except zipfile.BadZipFile:
            raise PassError("the download is not a zip archive") from None
        if verify:
            verify_pass(files)
        content = json.loads(files["pass.json"])
        folders = {name.partition("/")[0] for name in files}
        languages = [name.removesuffix(LANGUAGE_FOLDER) for name in folders if name.endswith(LANGUAGE_FOLDER)]
        picked = pick_language(languages, language)
        name = f"{picked}{LANGUAGE_FOLDER}/pass.strings"
        strings = parse_strings(files[name]) if name in files else {}
        return cls(content, strings, archive, last_modified, picked)

    @property
    def pass_type_identifier(self) -> str:
        return str(self.content["passTypeIdentifier"])

    @property
    def serial_number(self) -> str:
        return str(self.content["serialNumber"])

    def fields(self) -> dict[str, dict[str, Any]]:
        """The fields of the pass by key, for any style."""
        style: dict[str, Any] = next((self.content[style] for style in STYLES if style in self.content), {})
        return {member["key"]: member for group in FIELD_GROUPS for member in style.get(group, [])}

    def image(self, name: str) -> bytes | None:
        """Return an image as the phone shows it, in its highest scale; None if the pass has no such image.

        An image at the top hides those of the language folders (Apple, "Creating the source for a pass").

        Args:
            name: name of the image without scale and suffix, such as `strip`.
        """
        with zipfile.ZipFile(io.BytesIO(self.archive)) as members:
            paths = set(members.namelist())
            for folder in ("", *([f"{self.language}.lproj/"] if self.language else [])):
                for suffix in ("@3x", "@2x", ""):
                    if (path := f"{folder}{name}{suffix}.png") in paths:
                        return members.read(path)
        return None

    def changes_since(self, older: "InstalledPass") -> list[str]:
        """The messages that the phone shows on its lock screen (Apple, "PassFieldContent": `changeMessage`)."""
        before = older.fields()
        messages = []
        for key, now in self.fields().items():
            if key in before and "changeMessage" in now and before[key].get("value") != now.get("value"):
                message = self._localized(str(now["changeMessage"]))
                messages.append(message.replace("%@", self._localized(str(now["value"]))))
        return messages

    def _localized(self, text: str) -> str:
        return self.strings.get(text, text)


@dataclass
class Phone:
    """One device. Each method is an action of a person or of APNs.

    Args:
        language: the language of its texts, as in `de.lproj`.
        device_library_identifier: its identifier for this service.
        push_token: its address at APNs.
        passes: its passes by pass type identifier and serial number.
        tags: the last tag of each pass type.
        verify: TLS verification of the web service, as for httpx.
        on_event: called with each step.
    """

    language: str = "en"
    device_library_identifier: str = field(default_factory=lambda: secrets.token_hex(16))
    push_token: str = field(default_factory=lambda: secrets.token_hex(32))
    passes: dict[tuple[str, str], InstalledPass] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    verify: str | bool = True
    on_event: Callable[[PhoneEvent], None] = ignore_event

    def __post_init__(self) -> None:
        self._http = httpx.Client(verify=self.verify, timeout=30, headers={"Accept": "*/*"})

    def close(self) -> None:
        self._http.close()

    def opens(self, link: str) -> HTTPStatus:
        """The person opens a download link and taps "Add".

        Returns:
            The status of the registration, as `adds`.

        Raises:
            PhoneError: the link does not return a pass, or the service refused a request.
        """
        response = self._call("open", "GET", link, headers={"User-Agent": SAFARI}, expected=(HTTPStatus.OK,))
        if response.headers["Content-Type"] != PKPASS:
            raise PhoneError(f"the link returns {response.headers['Content-Type']}, not a pass")
        return self.adds(response.content, last_modified=response.headers.get("Last-Modified"))

    def adds(self, archive: bytes, *, last_modified: str | None = None) -> HTTPStatus:
        """The person taps "Add": store the pass and register it.

        Returns:
            201 for a new registration, 200 for an existing one.

        Raises:
            PhoneError: the service refused the request.
        """
        added = self._open(archive, last_modified=last_modified)
        self.passes[added.pass_type_identifier, added.serial_number] = added
        return self.registers(added)

    def registers(self, installed: InstalledPass) -> HTTPStatus:
        """Register the pass with the push token.

        Raises:
            PhoneError: the service refused the request.
        """
        response = self._call(
            "register",
            "POST",
            self._registration_url(installed),
            json={"pushToken": self.push_token},
            headers=_authorization(installed),
            expected=(HTTPStatus.CREATED, HTTPStatus.OK),
        )
        return HTTPStatus(response.status_code)

    def removes(self, pass_type_identifier: str, serial_number: str) -> None:
        """The person deletes the pass: unregister it.

        Raises:
            PhoneError: the service refused the request.
        """
        self.unregisters(self.passes.pop((pass_type_identifier, serial_number)))

    def unregisters(self, installed: InstalledPass) -> None:
        """Delete the registration of a pass on the server.

        Raises:
            PhoneError: the service refused the request.
        """
        self._call(
            "unregister",
            "DELETE",
            self._registration_url(installed),
            headers=_authorization(installed),
            expected=(HTTPStatus.OK,),
        )

    def reports(self, installed: InstalledPass, message: str) -> None:
        """Send a message to the log of the pass's web service (Apple, "Log a Message").

        Raises:
            PhoneError: the service refused the request.
        """
        url = f"{_web_service_url(installed)}/v1/log"
        self.on_event(PhoneEvent("log", message, ok=False))
        self._call("log", "POST", url, json={"logs": [message]}, expected=(HTTPStatus.OK,))

    def receives_push(self, pass_type_identifier: str) -> list[str]:
        """An empty push arrives: list the changed passes and download those.

        Returns:
            The change messages that the person sees.

        Raises:
            PhoneError: the service refused the request.
        """
        messages: list[str] = []
        for serial_number in self.asks_what_changed(pass_type_identifier):
            older = self.passes.get((pass_type_identifier, serial_number))
            newer = self.downloads(older) if older is not None else None
            if older is not None and newer is not None:
                messages.extend(newer.changes_since(older))
        return messages

    def asks_what_changed(self, pass_type_identifier: str) -> Sequence[str]:
        """List the changed passes since the tag of the last list call.

        Raises:
            PhoneError: the service refused the request.
        """
        url = next(_web_service_url(p) for (kind, _), p in self.passes.items() if kind == pass_type_identifier)
        tag = self.tags.get(pass_type_identifier)
        response = self._call(
            "list",
            "GET",
            f"{url}/v1/devices/{quote(self.device_library_identifier, safe='')}"
            f"/registrations/{quote(pass_type_identifier, safe='')}",
            params={"passesUpdatedSince": tag} if tag is not None else None,
            expected=(HTTPStatus.OK, HTTPStatus.NO_CONTENT),
        )
        if response.status_code == HTTPStatus.NO_CONTENT:
            return []
        listing = response.json()
        self.tags[pass_type_identifier] = listing["lastUpdated"]
        serial_numbers: list[str] = listing["serialNumbers"]
        return serial_numbers

    def downloads(self, installed: InstalledPass) -> InstalledPass | None:
        """Download the pass if it was modified; returns it, or None.

        Raises:
            PhoneError: the service refused the request.
        """
        headers = _authorization(installed)
        if installed.last_modified is not None:
            headers["If-Modified-Since"] = installed.last_modified
        response = self._call(
            "download",
            "GET",
            f"{_web_service_url(installed)}/v1/passes/{quote(installed.pass_type_identifier, safe='')}"
            f"/{quote(installed.serial_number, safe='')}",
            headers=headers,
            expected=(HTTPStatus.OK, HTTPStatus.NOT_MODIFIED),
        )
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return None
        newer = self._open(response.content, last_modified=response.headers.get("Last-Modified"))
        self.passes[newer.pass_type_identifier, newer.serial_number] = newer
        return newer

    def _open(self, archive: bytes, *, last_modified: str | None) -> InstalledPass:
        """Read and verify a downloaded pass."""
        start = time.perf_counter()
        try:
            opened = InstalledPass.open(archive, language=self.language, last_modified=last_modified)
        except PassError as error:
            self.on_event(PhoneEvent("verify", str(error), ok=False, seconds=time.perf_counter() - start))
            raise
        self.on_event(PhoneEvent("verify", "the signature is valid", seconds=time.perf_counter() - start))
        return opened

    def _call(
        self,
        kind: str,
        method: str,
        url: str,
        *,
        expected: Sequence[HTTPStatus],
        **options: Any,  # noqa: ANN401 - httpx's
    ) -> httpx.Response:
        """Send a request.

        Raises:
            PhoneError: the answer is not an expected one, or it is missing.
        """
        start = time.perf_counter()
        try:
            response = self._http.request(method, url, **options)
        except httpx.HTTPError as error:
            text = f"no answer: {type(error).__name__}"
            self.on_event(PhoneEvent(kind, text, ok=False, seconds=time.perf_counter() - start))
            raise PhoneError(f"{method}: {text}") from error
        ok = response.status_code in expected
        request = _described(response, self.device_library_identifier)
        wanted = " or ".join(str(status.value) for status in expected)
        text = _outcome(kind, response) if ok else f"the server answered {response.status_code}"
        self.on_event(PhoneEvent(kind, text, ok=ok, request=request, seconds=time.perf_counter() - start))
        if not ok:
            raise PhoneError(f"{request.rpartition(': ')[0]}: got {response.status_code}, expected {wanted}")
        return response

    def _registration_url(self, installed: InstalledPass) -> str:
        return (
            f"{_web_service_url(installed)}/v1/devices/{quote(self.device_library_identifier, safe='')}"
            f"/registrations/{quote(installed.pass_type_identifier, safe='')}/{quote(installed.serial_number, safe='')}"
        )


def _web_service_url(installed: InstalledPass) -> str:
    return str(installed.content["webServiceURL"]).rstrip("/")


def _authorization(installed: InstalledPass) -> dict[str, str]:
    return {"Authorization": f"ApplePass {installed.content['authenticationToken']}"}


def _described(response: httpx.Response, device_library_identifier: str) -> str:
    """Return a request and its status without secrets."""
    path = response.request.url.path
    path = f"{path[: path.index('/p/')]}/p/..." if "/p/" in path else path.replace(device_library_identifier, "...")
    query = f"?{response.request.url.query.decode()}" if response.request.url.query else ""
    return f"{response.request.method} {path.partition('_user_request_')[2] or path}{query}: {response.status_code}"


OUTCOMES = {
    ("open", HTTPStatus.OK): "opened the link",
    ("register", HTTPStatus.CREATED): "registered for updates",
    ("register", HTTPStatus.OK): "registered again",
    ("unregister", HTTPStatus.OK): "unregistered",
    ("list", HTTPStatus.NO_CONTENT): "nothing has changed",
    ("download", HTTPStatus.NOT_MODIFIED): "the pass is current",
    ("log", HTTPStatus.OK): "sent a message to the server's log",
}


def _outcome(kind: str, response: httpx.Response) -> str:
    """Return what an expected answer means, in a few words."""
    if kind == "list" and response.status_code == HTTPStatus.OK:
        return f"changed: {', '.join(response.json()['serialNumbers'])}"
    return OUTCOMES.get((kind, HTTPStatus(response.status_code)), f"downloaded {len(response.content):,} bytes")
