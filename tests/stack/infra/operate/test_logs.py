"""Tests of reading the logs of a stage's functions."""

import json
import time
from typing import Any

import boto3
import httpx

from infra.local.run import LocalRun
from infra.operate.logs import LogLine, read_logs
from infra.stage.stage import Stage
from tests.conftest import Pipeline
from tests.support.aws_stand_in import Answer, Request, aws_stand_in, json_answer
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


def test_lines_are_selected_by_function_event_and_pass(stack: LocalRun, pipeline: Pipeline, serial_number: str) -> None:
    pass_id = str(pipeline.writes(serial_number, fields={"gate": "A1"}))
    pipeline.writes(f"{serial_number}2", fields={"gate": "A1"})

    def printed(*options: str) -> list[dict[str, Any]]:
        done = infra("logs", "--stage", stack.stage, "--since", "5m", "--json", *options)
        assert done.returncode == 0, done.stderr
        return list(map(json.loads, done.stdout.splitlines()))

    stamped = eventually(lambda: printed("--pass", pass_id, "--event", "stamped"), "the stamp of the pass")
    assert {(line["event"], line["pass_id"]) for line in stamped} == {("stamped", pass_id)}
    assert {line["function"] for line in printed("--function", "push")} == {"push"}
    either = printed("--event", "stamped", "--event", "no_such_event")
    assert pass_id in {line["pass_id"] for line in either}
    assert {line["event"] for line in either} == {"stamped"}
    done = infra("logs", "--stage", stack.stage, "--event", "no_such_event")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no such lines since 20" in done.stderr
    done = infra("logs", "--stage", stack.stage, "--function", "mistyped")
    assert done.returncode == 2
    assert "has no function 'mistyped'; it has" in " ".join(done.stderr.split())


def test_function_without_a_log_group_is_skipped(stack: LocalRun) -> None:
    assert boto3.client("logs")
    stage = Stage(stack.stage, {"CheckCertificatesFunctionName": f"passwire-{stack.stage}-unknown"})
    assert list(read_logs(stage, since=0, follow=False)) == []


def test_following_four_functions_makes_less_than_three_requests_per_second() -> None:
    """All readers of an account share the limit of FilterLogEvents; a throttled request is repeated silently."""
    requested: list[float] = []
    event = {"timestamp": 1, "logStreamName": "s", "eventId": "e"}

    def answer(_: Request) -> Answer:
        requested.append(time.monotonic())
        if len(requested) == 2:
            return json_answer({"__type": "ThrottlingException"}, status=400)
        return json_answer({"events": [{**event, "message": f"line {len(requested)}"}]})

    roles = ("Api", "Push", "PushWorker", "PublishEvents", "CheckCertificates")
    stage = Stage("dev", {f"{role}FunctionName": f"passwire-dev-{role}" for role in roles})
    with aws_stand_in(answer):
        followed = read_logs(stage, since=0, follow=True)
        lines = [next(followed) for _ in range(9)]
    assert len(lines) == 9
    seconds = requested[-1] - requested[0]
    assert len(requested) / seconds < 3, f"{len(requested)} requests within {seconds:.1f} s"
