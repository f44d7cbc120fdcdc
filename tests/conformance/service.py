"""The service under test from outside: its API by HTTP and, if it has one, its passes table by DynamoDB's API.

Nothing of `chalicelib` is imported here. Any implementation of Apple's web service can be tested:

    CONFORMANCE_API_URL     the base that /v1/... follows
    CONFORMANCE_PASS_TYPE, CONFORMANCE_SERIAL, CONFORMANCE_TOKEN    a pass that exists, and its authentication token

Without them, `CONFORMANCE_LOCAL_JSON` names the description of a local run (`make up`), which has a table too.
"""

import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import boto3
import httpx
import pytest

PATIENCE_SECONDS = 60.0
T = TypeVar("T")


@dataclass(frozen=True)
class Pass:
    """An existing pass and the authentication token in it."""

    pass_type_identifier: str
    serial_number: str
    authentication_token: str

    @property
    def path(self) -> str:
        """The percent-encoded path that follows `passes/` and `registrations/`."""
        return f"{quote(self.pass_type_identifier, safe='')}/{quote(self.serial_number, safe='')}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"ApplePass {self.authentication_token}"}


@dataclass
class Device:
    """A phone whose every call is one request and returns the response."""

    http: httpx.Client
    identifier: str = field(default_factory=lambda: secrets.token_hex(16))
    push_token: str = field(default_factory=lambda: secrets.token_hex(32))

    def registers(self, held: Pass, **request: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        request.setdefault("headers", held.authorization)
        if "content" not in request:
            request.setdefault("json", {"pushToken": self.push_token})
        return self.http.post(self._registration(held), **request)

    def unregisters(self, held: Pass, **request: Any) -> httpx.Response:  # noqa: ANN401
        request.setdefault("headers", held.authorization)
        return self.http.delete(self._registration(held), **request)

    def lists(self, pass_type_identifier: str, tag: str | None = None) -> httpx.Response:
        return self.http.get(
            f"/v1/devices/{quote(self.identifier, safe='')}/registrations/{quote(pass_type_identifier, safe='')}",
            params={"passesUpdatedSince": tag} if tag is not None else None,
        )

    def names(self, pass_type_identifier: str, tag: str | None = None) -> list[str]:
        """List the serial numbers; empty if the status is 204."""
        response = self.lists(pass_type_identifier, tag)
        assert response.status_code in (200, 204), response.text
        return sorted(response.json()["serialNumbers"]) if response.status_code == 200 else []

    def downloads(self, held: Pass, *, method: str = "GET", **headers: str) -> httpx.Response:
        return self.http.request(method, f"/v1/passes/{held.path}", headers={**held.authorization, **headers})

    def personalizes(self, held: Pass, content: object, **headers: str) -> httpx.Response:
        return self.http.post(f"/v1/passes/{held.path}/personalize", json=content, headers=headers)

    def _registration(self, held: Pass) -> str:
        return f"/v1/devices/{quote(self.identifier, safe='')}/registrations/{held.path}"


class Service:
    """The service under test."""

    def __init__(self, api_url: str, *, known: Pass | None, tables: Any = None, local: Mapping[str, Any]) -> None:  # noqa: ANN401
        self.api_url = api_url
        self._known = known
        self._tables = tables
        self._table: Any = tables.Table(local["tables"]["passes"]) if tables is not None else None
        self._local = local

    @classmethod
    def from_environment(cls, local_json: Callable[[], Path]) -> Self:
        """Read the environment; without its variables, use the local run that `local_json` describes."""
        if api_url := os.environ.get("CONFORMANCE_API_URL"):
            known = Pass(*(os.environ[f"CONFORMANCE_{name}"] for name in ("PASS_TYPE", "SERIAL", "TOKEN")))
            return cls(api_url.rstrip("/"), known=known, local={})
        local = json.loads(local_json().read_text())
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=local["aws_endpoint_url"],
            region_name=local["region"],
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        return cls(local["api_url"], known=None, tables=resource, local=local)

    @property
    def certificates(self) -> dict[str, str]:
        """The files of the signing chain."""
        self._needs_a_table()
        return dict(self._local["certificates"])

    def device(self) -> Device:
        return Device(httpx.Client(base_url=self.api_url, timeout=30, headers={"Accept": "*/*"}))

    def a_pass(self, serial_number: str | None = None, **attributes: object) -> Pass:
        """Return an existing pass: a new one if there is a table, else the known one."""
        if self._known is not None and serial_number is None and not attributes:
            return self._known
        self._needs_a_table()
        made = Pass(self._local["pass_type_identifier"], serial_number or secrets.token_hex(8), secrets.token_hex(16))
        self.writes(made, **attributes)
        eventually(lambda: self._is_stamped(made), "the first version of the pass")
        return made

    def writes(self, held: Pass, **attributes: object) -> None:
        """PutItem, as a pipeline does."""
        self._needs_a_table()
        self._table.put_item(
            Item={
                "pass_id": f"{held.pass_type_identifier}/{held.serial_number}",
                "authentication_token": held.authentication_token,
                "template": self._local["template"],
                **attributes,
            }
        )

    def changes(self, held: Pass, **attributes: object) -> None:
        """Change a pass, and wait until its version has changed."""
        before = self.device().downloads(held).headers.get("ETag")
        self.writes(held, **attributes)
        eventually(lambda: self.device().downloads(held).headers.get("ETag") != before, "a new version of the pass")

    def deletes(self, held: Pass) -> None:
        self._needs_a_table()
        self._table.delete_item(Key={"pass_id": f"{held.pass_type_identifier}/{held.serial_number}"})

    def item(self, held: Pass) -> dict[str, Any]:
        self._needs_a_table()
        key = {"pass_id": f"{held.pass_type_identifier}/{held.serial_number}"}
        return dict(self._table.get_item(Key=key, ConsistentRead=True)["Item"])

    def is_registered(self, device: Device, held: Pass) -> bool:
        """Read the registrations table, since a list call leaves out deleted passes even if they are registered."""
        self._needs_a_table()
        table = self._tables.Table(self._local["tables"]["registrations"])
        key = {"pass_id": f"{held.pass_type_identifier}/{held.serial_number}"}
        return "Item" in table.get_item(
            Key={**key, "device_library_identifier": device.identifier}, ConsistentRead=True
        )

    def pushes_to(self, device: Device) -> int:
        """Count the pushes that reached the device."""
        self._needs_a_table()
        pushes = httpx.get(f"{self._local['apns_control_url']}/pushes").json()
        return sum(push["token"] == device.push_token for push in pushes)

    def _is_stamped(self, held: Pass) -> bool:
        """Return true once a pass has a version: a conditional download then answers 304."""
        device = self.device()
        etag = device.downloads(held).headers["ETag"]
        return device.downloads(held, **{"If-None-Match": etag}).status_code == 304

    def _needs_a_table(self) -> None:
        if self._table is None:
            pytest.skip("this needs a table to write passes to, and the service under test was given without one")


def eventually(condition: Callable[[], T], what: str) -> T:
    """Wait until a condition returns a true value, and return that; `what` describes it in the error."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if result := condition():
            return result
        time.sleep(0.1)
    pytest.fail(f"{what} did not come within {PATIENCE_SECONDS:.0f} s")


def pass_json(response: httpx.Response) -> dict[str, object]:
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        return dict(json.loads(archive.read("pass.json")))
