"""What a stage's functions wrote, read back."""

import json
import time
from typing import Any

import boto3
import httpx

from infra.local.stack import LocalStack
from infra.logs import Line, read_logs
from tests.end_to_end.eventually import eventually
from tests.infra.command_line import infra


def test_lines_of_all_functions_come_once_each_in_order(stack: LocalStack) -> None:
    mark = f"test-{time.time_ns()}"
    since = int(time.time() * 1000)
    httpx.post(f"{stack.api_url}/v1/log", json={"logs": [mark]}, timeout=30).raise_for_status()
    followed = read_logs(stack.functions, since=since, follow=True)
    found = next(line for line in followed if mark in line.text)
    assert found.function == "api"
    assert mark in found.readable

    def read() -> list[Line]:
        return list(read_logs(stack.functions, since=since, follow=False))

    lines = eventually(lambda: [line for line in read() if mark in line.text] and read(), "the line")
    assert sum(mark in line.text for line in lines) == 1
    assert [line.at for line in lines] == sorted(line.at for line in lines)


def test_the_command_prints_json_a_line(stack: LocalStack) -> None:
    mark = f"test-{time.time_ns()}"
    httpx.post(f"{stack.api_url}/v1/log", json={"logs": [mark]}, timeout=30).raise_for_status()

    def printed() -> list[dict[str, Any]]:
        done = infra("logs", "--stage", stack.stage, "--since", "1m", "--json")
        assert done.returncode == 0, done.stderr
        return [line for line in map(json.loads, done.stdout.splitlines()) if mark in json.dumps(line)]

    (line,) = eventually(printed, "the line")
    assert line["function"] == "api"
    assert line["event"]


def test_a_function_that_has_not_written_yet_is_no_error(stack: LocalStack) -> None:
    assert boto3.client("logs")
    nobody = {"watch": f"passwire-{stack.stage}-nobody"}
    assert list(read_logs(nobody, since=0, follow=False)) == []


def test_what_a_device_said_does_not_move_the_cursor() -> None:
    text = json.dumps({"event": "device_log", "message": "a\x1b[2Jb c"})
    assert Line(0, "api", text).readable.endswith(r'device_log message="a\u001b[2Jb c"')


def test_lambdas_own_lines_are_left_out() -> None:
    assert Line(0, "api", "REPORT RequestId: 1 Duration: 2 ms").readable == ""
