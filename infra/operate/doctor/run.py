"""Carrying out the checks: side by side, each with its own end, whatever becomes of the others."""

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
EXPLAINED = (PasswireError, httpx.HTTPError, OSError)
"""Errors whose messages are meant for people and hold no secret."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one check."""

    check: Check
    findings: tuple[DoctorFinding, ...]
    seconds: float


def run_checks(
    doctor: DoctorContext,
    *,
    done: Callable[[Result], object],
    checks: Sequence[Check] = CHECKS,
    timeout: float = TIMEOUT_SECONDS,
) -> list[Result]:
    """Carry out all checks.

    Args:
        doctor: the stage.
        done: is told of each as it ends.
        checks: what to look at.
        timeout: seconds after which a check counts as hanging, which is a fault too.

    Returns:
        The results in the order of the checks.
    """
    results: dict[str, Result] = {}
    ended: queue.SimpleQueue[Result] = queue.SimpleQueue()
    for check in checks:
        # A daemon: a check that hangs must keep nobody from leaving.
        threading.Thread(target=lambda c: ended.put(_carried_out(c, doctor)), args=(check,), daemon=True).start()
    until = time.monotonic() + timeout
    while len(results) < len(checks):
        try:
            result = ended.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        results[result.check.name] = result
        done(result)
    for check in checks:
        if check.name not in results:
            hangs = fault(f"{check.name}: had no answer after {timeout:.0f} s", "look again; if it stays, look at AWS")
            results[check.name] = Result(check, (hangs,), timeout)
            done(results[check.name])
    return [results[check.name] for check in checks]


def is_healthy(results: Sequence[Result]) -> bool:
    """Whether devices are updated: warnings do not keep them from it."""
    return not any(finding.severity is Severity.FAULT for result in results for finding in result.findings)


def _carried_out(check: Check, doctor: DoctorContext) -> Result:
    started = time.monotonic()
    findings: list[DoctorFinding] = []
    try:
        findings.extend(check.look(doctor))
    except (BotoCoreError, ClientError) as error:
        findings.append(fault(f"{check.name}: could not be looked at: {explain(error)}", "mend that, then look again"))
    except EXPLAINED as error:
        findings.append(fault(f"{check.name}: could not be looked at: {error}", "mend that, then look again"))
    except Exception as error:  # noqa: BLE001 - a check that breaks must not keep the others from being told
        findings.append(
            fault(f"{check.name}: broke: {type(error).__name__}", "this is a defect of the doctor: report it")
        )
    return Result(check, tuple(findings), time.monotonic() - started)
