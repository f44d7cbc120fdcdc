"""What a stage's functions wrote, read back."""

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


def test_lines_of_all_functions_come_once_each_in_order(stack: LocalRun) -> None:
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


def test_the_command_prints_json_a_line(stack: LocalRun) -> None:
    mark = f"test-{time.time_ns()}"
    httpx.post(f"{stack.api_url}/v1/log", json={"logs": [mark]}, timeout=30).raise_for_status()

    def printed() -> list[dict[str, Any]]:
        done = infra("logs", "--stage", stack.stage, "--since", "1m", "--json")
        assert done.returncode == 0, done.stderr
        return [line for line in map(json.loads, done.stdout.splitlines()) if mark in json.dumps(line)]

    (line,) = eventually(printed, "the line")
    assert line["function"] == "api"
    assert line["event"]


def test_a_function_that_has_not_written_yet_is_no_error(stack: LocalRun) -> None:
    assert boto3.client("logs")
    nobody = Stage(stack.stage, {"CheckCertificatesFunctionName": f"passwire-{stack.stage}-nobody"})
    assert list(read_logs(nobody, since=0, follow=False)) == []


def test_following_four_functions_leaves_the_accounts_five_requests_per_second_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FilterLogEvents is limited for all who read logs in the account; a refusal is waited out, and shows nowhere."""
    asked: list[float] = []
    event = {"timestamp": 1, "logStreamName": "s", "eventId": "e"}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(time.monotonic())
            refused = len(asked) == 2
            content = {"events": [{**event, "message": f"line {len(asked)}"}]}
            body = json.dumps({"__type": "ThrottlingException"} if refused else content).encode()
            self.send_response(400 if refused else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
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
        roles = ("Api", "Push", "PushWorker", "CheckCertificates")
        stage = Stage("dev", {f"{role}FunctionName": f"passwire-dev-{role}" for role in roles})
        followed = read_logs(stage, since=0, follow=True)
        lines = [next(followed) for _ in range(9)]
        server.shutdown()
    assert len(lines) == 9
    seconds = asked[-1] - asked[0]
    assert len(asked) / seconds < 3, f"{len(asked)} requests within {seconds:.1f} s"


def test_what_a_device_said_does_not_move_the_cursor() -> None:
    text = json.dumps({"event": "device_log", "message": "a\x1b[2Jb c"})
    assert LogLine(0, "api", text).readable.endswith(r'device_log message="a\u001b[2Jb c"')


def test_lambdas_own_lines_are_left_out() -> None:
    assert LogLine(0, "api", "REPORT RequestId: 1 Duration: 2 ms").readable == ""
