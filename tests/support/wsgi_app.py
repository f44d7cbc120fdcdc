"""The app as a WSGI application: each request becomes an event of API Gateway (`tests/support/memory_app.py`)."""

import base64
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from tests.support.in_process import gateway_event
from tests.support.memory_app import MemoryApp

BASE_PATH = "/api"
"""The stage of API Gateway, and the server of the description."""
StartResponse = Callable[[str, list[tuple[str, str]]], object]


class WsgiApp:
    """Takes requests, and remembers what they logged.

    Args:
        service: the app.
    """

    def __init__(self, service: MemoryApp) -> None:
        self._service = service
        self.logged = ""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path, _, query = environ["REQUEST_URI"].partition("?")
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name == "CONTENT_TYPE"
        }
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else None
        route, parameters = self._service.match(path.removeprefix(BASE_PATH))
        event = gateway_event(environ["REQUEST_METHOD"], route, *parameters, query=query, headers=headers, body=body)
        answer, self.logged = self._service.requests(event)
        content = answer["body"]
        raw = base64.b64decode(content) if answer.get("isBase64Encoded") else content.encode()
        several = [(name, value) for name, values in answer.get("multiValueHeaders", {}).items() for value in values]
        status = HTTPStatus(answer["statusCode"])
        start_response(f"{status.value} {status.phrase}", [*answer["headers"].items(), *several])
        return [raw]
