"""Tests of reading the logs of a stage's functions."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
import pytest

from infra.local.run import LocalRun
from infra.operate.logs import LogLine, read_logs
from infra.stage.stage import Stage
from tests.support.command_line import infra
from tests.support.eventually import eventually


def test_lines_of_all_functions_are_read_once_and_in_order(stack: LocalRun) -> None:
    mark = f"test-{time.time_ns()}"
    since = int(time.time() * 1000)
    httpx.post(f"{stack.api_url}/v1/log", json={"logs": [mark]}, timeout=30).raise_for_status()
    followed = read_logs(Stage.open(stack.stage), since=since, follow=True)
    found = next(line for line in followed if mark in line.text)
    assert found.function == "api"
    assert mark in found.readable

    def read() -> list[LogLine]:
        return list(read_logs(Stage.open(stack.stage), since=since, follow=False))

    lines = eventually(lambda: [line for line in read() if mark in line.text] and read(), "the line")
    assert sum(mark in line.text for line in lines) == 1
    assert [line.at for line in lines] == sorted(line.at for line in lines)


def test_json_option_prints_one_object_per_line(stack: LocalRun) -> None:
    mark = f"test-{time.time_ns()}"
    httpx.post(f"{stack.api_url}/v1/log", json={"logs": [mark]}, timeout=30).raise_for_status()

    def printed() -> list[dict[str, Any]]:
        done = infra("logs", "--stage", stack.stage, "--since", "1m", "--json")
        assert done.returncode == 0, done.stderr
        return [line for line in map(json.loads, done.stdout.splitlines()) if mark in json.dumps(line)]

    (line,) = eventually(printed, "the line")
    assert line["function"] == "api"
    assert line["event"]


def test_function_without_a_log_group_is_skipped(stack: LocalRun) -> None:
    assert boto3.client("logs")
    stage = Stage(stack.stage, {"CheckCertificatesFunctionName": f"passwire-{stack.stage}-unknown"})
    assert list(read_logs(stage, since=0, follow=False)) == []


def test_following_four_functions_makes_less_than_three_requests_per_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All readers of an account share the limit of FilterLogEvents; a throttled request is repeated silently."""
    requested: list[float] = []
    event = {"timestamp": 1, "logStreamName": "s", "eventId": "e"}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            requested.append(time.monotonic())
            refused = len(requested) == 2
            content = {"events": [{**event, "message": f"line {len(requested)}"}]}
            body = json.dumps({"__type": "ThrottlingException"} if refused else content).encode()
            self.send_response(400 if refused else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

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
        roles = ("Api", "Push", "PushWorker", "CheckCertificates")
        stage = Stage("dev", {f"{role}FunctionName": f"passwire-dev-{role}" for role in roles})
        followed = read_logs(stage, since=0, follow=True)
        lines = [next(followed) for _ in range(9)]
        server.shutdown()
    assert len(lines) == 9
    seconds = requested[-1] - requested[0]
    assert len(requested) / seconds < 3, f"{len(requested)} requests within {seconds:.1f} s"
