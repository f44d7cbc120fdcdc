"""Tests of running the doctor's checks."""

import threading
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError

from infra.operate.doctor.checks import Check
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, alarm_cause, fault, warning
from infra.operate.doctor.run import CheckResult, is_healthy, run_checks
from infra.stage.stage import Stage

Find = Callable[[DoctorContext], Iterator[DoctorFinding]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> DoctorContext:
    """A context that no check of these tests uses."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return DoctorContext(Stage("dev", {}))


def check(name: str, *findings: DoctorFinding, error: Exception | None = None) -> Check:
    def find(_: DoctorContext) -> Iterator[DoctorFinding]:
        yield from findings
        if error is not None:
            raise error

    return Check(name, "", find)


def found(results: list[CheckResult]) -> list[list[str]]:
    return [[finding.found for finding in result.findings] for result in results]


def test_results_are_in_the_order_of_the_checks(doctor: DoctorContext) -> None:
    checks = [check("one", fault("broken", "repair")), check("two"), check("three", warning("old", "renew"))]
    seen: list[CheckResult] = []
    results = run_checks(doctor, checks=checks, on_progress=seen.append)
    assert found(results) == [["broken"], [], ["old"]]
    assert {result.check.name for result in seen} == {"one", "two", "three"}


def test_failing_or_hanging_check_does_not_hide_other_results(doctor: DoctorContext) -> None:
    """An unexpected exception is named without its message, which may contain a secret."""
    never = threading.Event()

    def hang(_: DoctorContext) -> Iterator[DoctorFinding]:
        never.wait(20)
        yield from ()

    denied = ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "DescribeTable")
    checks = [
        Check("hangs", "", hang),
        check("breaks", error=ZeroDivisionError("with a secret in it")),
        check("denied", fault("seen before", "repair"), error=denied),
        check("unreachable", error=OSError("no route to host")),
        check("healthy"),
    ]
    results = run_checks(doctor, checks=checks, on_progress=lambda _: None, timeout=0.2)
    never.set()
    assert found(results) == [
        ["hangs: not finished after 0.2 s"],
        ["breaks: failed with ZeroDivisionError"],
        ["seen before", "denied: could not be checked: AWS refused DescribeTable: Rate exceeded"],
        ["unreachable: could not be checked: no route to host"],
        [],
    ]


def test_only_faults_make_a_stage_unhealthy(doctor: DoctorContext) -> None:
    checks = [check("old", warning("old", "renew"))]
    assert is_healthy(run_checks(doctor, checks=checks, on_progress=lambda _: None))
    checks.append(check("broken", fault("broken", "repair")))
    assert not is_healthy(run_checks(doctor, checks=checks, on_progress=lambda _: None))


def run(doctor: DoctorContext, *checks: Check) -> list[CheckResult]:
    return run_checks(doctor, checks=checks, on_progress=lambda _: None)


def test_cause_that_several_checks_find_is_reported_once(doctor: DoctorContext) -> None:
    unreachable = fault("the API is unreachable", "repair", cause="url")
    results = run(
        doctor, check("gateway", unreachable), check("download", unreachable, fault("other", "x")), check("ok")
    )
    assert found(results) == [["the API is unreachable"], ["other"], []]
    assert [result.same_as for result in results] == [(), ("gateway",), ()]


def test_error_that_keeps_all_checks_from_running_is_reported_once(doctor: DoctorContext) -> None:
    denied = ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "DescribeTable")
    results = run(doctor, check("one", error=denied), check("two", error=denied), check("three", error=OSError("x")))
    assert found(results) == [
        ["one, two: could not be checked: AWS does not accept these credentials (ExpiredToken): expired"],
        [],
        ["three: could not be checked: x"],
    ]
    assert not is_healthy(results)


def test_alarm_is_reported_only_if_no_check_has_found_its_cause(doctor: DoctorContext) -> None:
    on = [warning(f"{name} is on", "read", cause=alarm_cause(name)) for name in ("DeadLetters", "ApiLatency")]
    results = run(doctor, check("lag", fault("dead letters: 1", "list", alarm="DeadLetters")), check("alarms", *on))
    assert found(results) == [["dead letters: 1"], ["ApiLatency is on"]]
    assert results[1].same_as == ("lag",)
