"""Runs the doctor's checks concurrently; a check that fails or hangs does not affect the others."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core.errors import PasswireError
from infra.operate.doctor.checks import CHECKS, Check
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, Severity, fault
from infra.stage.aws import explain

TIMEOUT_SECONDS = 60.0
RUN_AGAIN = "fix that, then run the doctor again"
EXPLAINED = (PasswireError, httpx.HTTPError, OSError)
"""Errors whose messages are meant for people and contain no secret."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one check.

    Args:
        check: the check.
        findings: the problems that it found; may be empty.
        seconds: how long it took.
    """

    check: Check
    findings: tuple[DoctorFinding, ...]
    seconds: float


def run_checks(
    doctor: DoctorContext,
    *,
    on_progress: Callable[[Result], object],
    checks: Sequence[Check] = CHECKS,
    timeout: float = TIMEOUT_SECONDS,
) -> list[Result]:
    """Run checks.

    Args:
        doctor: the stage.
        on_progress: called with each result as its check ends.
        checks: the checks to run.
        timeout: seconds after which an unfinished check becomes a fault.

    Returns:
        The results in the order of the checks.
    """
    results: dict[str, Result] = {}
    ended: queue.SimpleQueue[Result] = queue.SimpleQueue()
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
            results[check.name] = Result(check, (hangs,), timeout)
            on_progress(results[check.name])
    return [results[check.name] for check in checks]


def is_healthy(results: Sequence[Result]) -> bool:
    """Return True if no check found a fault; warnings do not count."""
    return not any(finding.severity is Severity.FAULT for result in results for finding in result.findings)


def _run_check(check: Check, doctor: DoctorContext) -> Result:
    started = time.monotonic()
    findings: list[DoctorFinding] = []
    try:
        findings.extend(check.find(doctor))
    except (BotoCoreError, ClientError) as error:
        findings.append(fault(f"{check.name}: could not be checked: {explain(error)}", RUN_AGAIN))
    except EXPLAINED as error:
        findings.append(fault(f"{check.name}: could not be checked: {error}", RUN_AGAIN))
    except Exception as error:  # noqa: BLE001 - a check that fails must not hide the results of the others
        findings.append(
            fault(f"{check.name}: failed with {type(error).__name__}", "this is a bug in the doctor: report it")
        )
    return Result(check, tuple(findings), time.monotonic() - started)
