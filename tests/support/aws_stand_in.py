"""An AWS of one HTTP server whose answers a test writes, for answers that the embedded one never gives."""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs

import boto3
import botocore.session
from botocore.loaders import Loader, create_loader

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_REGION": "eu-central-1",
}
QUERY_ERROR = (
    '<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type>'
    "<Code>{code}</Code><Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
)
POLL_SECONDS = 0.01
"""How long the server takes to notice its end at the most."""


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str

    @property
    def operation(self) -> str:
        """AWS's name of the operation; for a REST API, which has none in the request, its path."""
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        return target or self.form.get("Action") or self.path

    @property
    def form(self) -> dict[str, str]:
        """The parameters of AWS's query protocol."""
        return {name: values[0] for name, values in parse_qs(self.body).items()}

    @property
    def content(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """An answer; JSON errors of REST APIs carry their code in a header."""

    body: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(content: Mapping[str, Any], *, status: int = 200) -> Answer:
    """Make an answer of a JSON API; `__type` is the code of an error."""
    return Answer(json.dumps(content), status, {"x-amzn-ErrorType": content.get("__type", "")})


@contextlib.contextmanager
def aws_stand_in(answer: Callable[[Request], Answer], *, endpoint_variable: str = "AWS_ENDPOINT_URL") -> Iterator[str]:
    """Run the server, and lead the AWS clients that are made meanwhile to it; yields its URL.

    Args:
        answer: makes the answer to a request.
        endpoint_variable: names the server to AWS's SDKs; `AWS_ENDPOINT_URL_<SERVICE>` leads only that service's there.
    """

    class Handler(BaseHTTPRequestHandler):
        def answers(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            given = answer(Request(self.command, self.path, self.headers, body))  # type: ignore[arg-type]  # a Message
            content = given.body.encode()
            self.send_response(given.status)
            for name, value in {"Content-Length": str(len(content)), **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = answers  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Tests are silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with aws_environment({**ENVIRONMENT, endpoint_variable: url}):
                yield url
        finally:
            server.shutdown()


@contextlib.contextmanager
def aws_environment(values: Mapping[str, str] = ENVIRONMENT) -> Iterator[None]:
    """Set these variables and no other of AWS's, and have boto3 read them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with patch.dict(os.environ, {**kept, **values}, clear=True):
        session = botocore.session.get_session()  # a session keeps the credentials that it has read
        session.register_component("data_loader", _loader())
        boto3.setup_default_session(botocore_session=session)
        yield
    boto3.DEFAULT_SESSION = None  # the next client makes another one


@cache
def _loader() -> Loader:
    """Return the descriptions of AWS's services, which take 60 ms to read, for all sessions."""
    return create_loader()


def refusing(code: str, message: str) -> contextlib.AbstractContextManager[str]:
    """Answer every request with this error of the query protocol."""
    return answering(QUERY_ERROR.format(code=code, message=message), status=403)


def answering(
    text: str, *, status: int = 200, endpoint_variable: str = "AWS_ENDPOINT_URL"
) -> contextlib.AbstractContextManager[str]:
    """Answer every request with this text."""
    return aws_stand_in(lambda _: Answer(text, status), endpoint_variable=endpoint_variable)
