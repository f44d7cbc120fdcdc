"""A client of the device API, in the form of AWS's gateway."""

import json
import secrets
from urllib.parse import quote

from chalicelib.core.identifiers import PassId
from tests.conftest import Issuer, Pipeline
from tests.support.in_process import Answer, InProcess
from tests.support.routes import DEVICE, LINK, PASS, REGISTRATION

JSON = {"Content-Type": "application/json"}


class Caller:
    """A client of the device API, with or without a valid token."""

    def __init__(self, service: InProcess, pipeline: Pipeline, issuer: Issuer) -> None:
        self.service = service
        self.device = secrets.token_hex(16)
        self.push_token = secrets.token_hex(32)
        self.pass_type_identifier = pipeline.pass_type_identifier
        self._pipeline = pipeline
        self._issuer = issuer
        self.tokens: dict[str, str] = {}

    def gets_a_pass(self, serial_number: str | None = None) -> str:
        """Write an item; returns its serial number."""
        serial_number = serial_number or secrets.token_hex(8)
        self.tokens[serial_number] = self._issuer.token(self._pipeline.writes(serial_number))
        return serial_number

    def registers(self, serial_number: str) -> Answer:
        body = json.dumps({"pushToken": self.push_token}).encode()
        return self._calls("POST", REGISTRATION, self.device, serial_number=serial_number, headers=JSON, body=body)

    def unregisters(self, serial_number: str) -> Answer:
        return self._calls("DELETE", REGISTRATION, self.device, serial_number=serial_number)

    def lists(self, tag: str | None = None) -> Answer:
        query = f"passesUpdatedSince={quote(tag)}" if tag is not None else ""
        return self.service.calls("GET", DEVICE, self.device, self.pass_type_identifier, query=query)

    def downloads(self, serial_number: str, **headers: str) -> Answer:
        return self._calls("GET", PASS, serial_number=serial_number, headers=headers)

    def opens(self, serial_number: str, *, query: str = "download") -> Answer:
        """Open a download link."""
        token = self._issuer.link_token(PassId(self.pass_type_identifier, serial_number))
        return self.service.calls("GET", LINK, token, query=query)

    def _calls(
        self,
        method: str,
        route: str,
        *devices: str,
        serial_number: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        token = self.tokens.get(serial_number, "0" * 32)
        return self.service.calls(
            method,
            route,
            *devices,
            self.pass_type_identifier,
            quote(serial_number, safe=""),
            headers={"Authorization": f"ApplePass {token}", **(headers or {})},
            body=body,
        )
