"""Runs the doctor's checks concurrently; a check that fails or hangs does not affect the others."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core.errors import PasswireError
from infra.operate.doctor.checks import CHECKS, Check
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, Severity, alarm_cause, fault
from infra.stage.aws import explain

TIMEOUT_SECONDS = 60.0
RUN_AGAIN = "fix that, then run the doctor again"
EXPLAINED = (PasswireError, httpx.HTTPError, OSError)
"""Errors whose messages are meant for people and contain no secret."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check.

    Args:
        check: the check.
        findings: the problems that it found; may be empty.
        seconds: how long it took.
        same_as: names of checks that report what this check found too.
    """

    check: Check
    findings: tuple[DoctorFinding, ...]
    seconds: float
    same_as: tuple[str, ...] = ()


def run_checks(
    doctor: DoctorContext,
    *,
    on_progress: Callable[[CheckResult], object],
    checks: Sequence[Check] = CHECKS,
    timeout: float = TIMEOUT_SECONDS,
) -> list[CheckResult]:
    """Run checks.

    Args:
        doctor: the stage.
        on_progress: called with each result as its check ends.
        checks: the checks to run.
        timeout: seconds after which an unfinished check becomes a fault.

    Returns:
        The results in the order of the checks, with one finding per cause.
    """
    results: dict[str, CheckResult] = {}
    ended: queue.SimpleQueue[CheckResult] = queue.SimpleQueue()
    for check in checks:
        # A daemon thread: a check that hangs must not keep the process from ending.
        threading.Thread(target=lambda c: ended.put(_run_check(c, doctor)), args=(check,), daemon=True).start()
    until = time.monotonic() + timeout
    while len(results) < len(checks):
        try:
            result = ended.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        results[result.check.name] = result
        on_progress(result)
    for check in checks:
        if check.name not in results:
            hangs = fault(
                f"{check.name}: not finished after {timeout:g} s",
                "run the doctor again; if it happens again, look at the AWS Health Dashboard",
            )
            results[check.name] = CheckResult(check, (hangs,), timeout)
            on_progress(results[check.name])
    return without_repetitions([results[check.name] for check in checks])


def without_repetitions(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Keep the first finding of each cause, and of an alarm only what no check has found by itself.

    A cause that keeps several checks from running is reported once, with the names of these checks.
    """
    first: dict[str, str] = {}
    unchecked: dict[str, list[str]] = {}
    for result in results:
        for finding in result.findings:
            first.setdefault(finding.cause, result.check.name)
            if finding.alarm:
                first.setdefault(alarm_cause(finding.alarm), result.check.name)
            if finding.found == _unchecked([result.check.name], finding.cause):
                unchecked.setdefault(finding.cause, []).append(result.check.name)
    merged = []
    for result in results:
        kept = [
            replace(finding, found=_unchecked(unchecked[finding.cause], finding.cause))
            if finding.cause in unchecked
            else finding
            for finding in result.findings
            if first[finding.cause] == result.check.name
        ]
        others = {first[finding.cause] for finding in result.findings} - {result.check.name}
        merged.append(replace(result, findings=tuple(kept), same_as=tuple(sorted(others))))
    return merged


def is_healthy(results: Sequence[CheckResult]) -> bool:
    """Return True if no check found a fault; warnings do not count."""
    return not any(finding.severity is Severity.FAULT for result in results for finding in result.findings)


def _unchecked(names: Sequence[str], cause: str) -> str:
    return f"{', '.join(names)}: could not be checked: {cause}"


def _run_check(check: Check, doctor: DoctorContext) -> CheckResult:
    started = time.monotonic()
    findings: list[DoctorFinding] = []
    try:
        findings.extend(check.find(doctor))
    except (BotoCoreError, ClientError) as error:
        findings.append(fault(_unchecked([check.name], explain(error)), RUN_AGAIN, cause=explain(error)))
    except EXPLAINED as error:
        findings.append(fault(_unchecked([check.name], str(error)), RUN_AGAIN, cause=str(error)))
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide the results of the others
        findings.append(
            fault(f"{check.name}: failed with {type(error).__name__}", "this is a bug in the doctor: report it")
        )
    return CheckResult(check, tuple(findings), time.monotonic() - started)
