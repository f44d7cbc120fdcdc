"""A simulated iPhone: keeps passes, tags and validators as Wallet does, and uses the web service by HTTP only.

It replaces the only part that cannot run here. It verifies each pass with `verification.py`. Unlike a phone, it trusts
any root, does not retry failed calls, and displays nothing. As real devices do, it uses the `webServiceURL` and
`authenticationToken` of the pass, appends `/v1`, keeps a tag per pass type, sends `If-Modified-Since` with the date of
the last download, and replaces a pass only by one that it got with 200.
"""

import io
import json
import secrets
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import httpx

from chalicelib.core.errors import PasswireError
from chalicelib.passes.format.keys import FIELD_GROUPS, STYLES
from chalicelib.passes.strings import parse_strings, pick_language
from infra.local.verification import verify_pass

PKPASS = "application/vnd.apple.pkpass"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)


class PhoneError(PasswireError):
    """The web service gave an answer with which a phone cannot continue."""


@dataclass(frozen=True)
class InstalledPass:
    """A pass on the phone, the validator of its download, and the language folder that the phone shows."""

    content: dict[str, Any]
    strings: dict[str, str] = field(repr=False)
    archive: bytes = field(repr=False)
    last_modified: str | None = None
    language: str | None = None

    @classmethod
    def open(cls, archive: bytes, *, language: str, last_modified: str | None) -> Self:
        """Read a `.pkpass`.

        Raises:
            PassError: the pass is not validly signed.
        """
        with zipfile.ZipFile(io.BytesIO(archive)) as members:
            files = {name: members.read(name) for name in members.namelist()}
        verify_pass(files)
        content = json.loads(files["pass.json"])
        folders = {name.partition("/")[0] for name in files}
        picked = pick_language([name.removesuffix(".lproj") for name in folders if name.endswith(".lproj")], language)
        name = f"{picked}.lproj/pass.strings"
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
    """

    language: str = "en"
    device_library_identifier: str = field(default_factory=lambda: secrets.token_hex(16))
    push_token: str = field(default_factory=lambda: secrets.token_hex(32))
    passes: dict[tuple[str, str], InstalledPass] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    verify: str | bool = True

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
        response = self._http.get(link, headers={"User-Agent": SAFARI})
        _expect(response, HTTPStatus.OK)
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
        added = InstalledPass.open(archive, language=self.language, last_modified=last_modified)
        self.passes[added.pass_type_identifier, added.serial_number] = added
        return self.registers(added)

    def registers(self, installed: InstalledPass) -> HTTPStatus:
        """Register the pass with the push token.

        Raises:
            PhoneError: the service refused the request.
        """
        response = self._http.post(
            self._registration_url(installed), json={"pushToken": self.push_token}, headers=_authorization(installed)
        )
        return _expect(response, HTTPStatus.CREATED, HTTPStatus.OK)

    def removes(self, pass_type_identifier: str, serial_number: str) -> None:
        """The person deletes the pass: unregister it.

        Raises:
            PhoneError: the service refused the request.
        """
        removed = self.passes.pop((pass_type_identifier, serial_number))
        _expect(self._http.delete(self._registration_url(removed), headers=_authorization(removed)), HTTPStatus.OK)

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
        response = self._http.get(
            f"{url}/v1/devices/{quote(self.device_library_identifier, safe='')}"
            f"/registrations/{quote(pass_type_identifier, safe='')}",
            params={"passesUpdatedSince": tag} if tag is not None else None,
        )
        if _expect(response, HTTPStatus.OK, HTTPStatus.NO_CONTENT) is HTTPStatus.NO_CONTENT:
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
        response = self._http.get(
            f"{_web_service_url(installed)}/v1/passes/{quote(installed.pass_type_identifier, safe='')}"
            f"/{quote(installed.serial_number, safe='')}",
            headers=headers,
        )
        if _expect(response, HTTPStatus.OK, HTTPStatus.NOT_MODIFIED) is HTTPStatus.NOT_MODIFIED:
            return None
        newer = InstalledPass.open(
            response.content, language=self.language, last_modified=response.headers.get("Last-Modified")
        )
        self.passes[newer.pass_type_identifier, newer.serial_number] = newer
        return newer

    def _registration_url(self, installed: InstalledPass) -> str:
        return (
            f"{_web_service_url(installed)}/v1/devices/{quote(self.device_library_identifier, safe='')}"
            f"/registrations/{quote(installed.pass_type_identifier, safe='')}/{quote(installed.serial_number, safe='')}"
        )


def _web_service_url(installed: InstalledPass) -> str:
    return str(installed.content["webServiceURL"]).rstrip("/")


def _authorization(installed: InstalledPass) -> dict[str, str]:
    return {"Authorization": f"ApplePass {installed.content['authenticationToken']}"}


def _expect(response: httpx.Response, *expected: HTTPStatus) -> HTTPStatus:
    status = HTTPStatus(response.status_code)
    if status not in expected:
        path = response.request.url.path
        call = f"{response.request.method} {path[: path.index('/p/')] + '/p/...' if '/p/' in path else path}"
        raise PhoneError(f"{call}: got {status.value}, expected {' or '.join(str(s.value) for s in expected)}")
    return status
