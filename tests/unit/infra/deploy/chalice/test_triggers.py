"""Event source mappings as Lambda treats them: they change state slowly and cannot be updated meanwhile."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.deploy.chalice.triggers import set_trigger

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:passwire-dev-push"
MAPPING = "c0ffee00-0000-4000-8000-000000000001"
WANTED = {"Queue": QUEUE, "FunctionResponseTypes": ["ReportBatchItemFailures"]}


class SlowLambda:
    """Answers for one mapping, which needs some looks until it is settled, also after each update.

    Args:
        looks: how often it is seen unsettled.
    """

    def __init__(self, *, looks: int) -> None:
        self.looks = looks
        self.unsettled = looks
        self.mapping: dict[str, Any] = {"UUID": MAPPING, "EventSourceArn": QUEUE, "State": "Creating"}
        self.refused = 0

    def answers(self, method: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if method == "PUT":
            if self.unsettled:
                self.refused += 1
                return 400, {"__type": "ResourceInUseException", "Message": "being created, updated or deleted"}
            self.mapping |= json.loads(body)
            self.mapping["State"] = "Updating"
            self.unsettled = self.looks
        return 200, self.mapping

    def is_looked_at(self) -> None:
        self.unsettled = max(0, self.unsettled - 1)
        if not self.unsettled:
            self.mapping["State"] = "Enabled"


@pytest.fixture
def slow_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowLambda]:
    service = SlowLambda(looks=3)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = service.mapping
            if MAPPING in self.path:
                service.is_looked_at()
            else:
                found = {"EventSourceMappings": [service.mapping]}
            self._send(200, found)

        def do_PUT(self) -> None:
            self._send(*service.answers("PUT", self.rfile.read(int(self.headers["Content-Length"]))))

        def _send(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("x-amzn-ErrorType", str(content.get("__type", "")))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests are silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
        try:
            yield service
        finally:
            server.shutdown()


def test_new_mapping_is_updated_after_it_is_enabled(slow_lambda: SlowLambda) -> None:
    assert set_trigger("passwire-dev-push_worker", WANTED)
    assert slow_lambda.mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert slow_lambda.mapping["State"] == "Enabled", "it returns once the update is in effect"
    assert slow_lambda.refused == 0


def test_mapping_without_differences_is_not_updated(slow_lambda: SlowLambda) -> None:
    slow_lambda.mapping["FunctionResponseTypes"] = ["ReportBatchItemFailures"]
    assert not set_trigger("passwire-dev-push_worker", WANTED)
    assert slow_lambda.mapping["State"] == "Creating", "nothing is waited for"
