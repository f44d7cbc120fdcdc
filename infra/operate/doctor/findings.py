"""Findings of the doctor's checks: a problem and its remedy."""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """A fault prevents updates of devices now; a warning will do so later, or hides problems."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One problem.

    Args:
        severity: how bad it is.
        found: the problem, in a sentence that names the resource; never a secret.
        fix: what to do about it; a command if there is one, with the stage's real names.
        cause: identifies what is wrong. Of several findings with the same cause, one is reported.
        alarm: name of the alarm that reports the same; empty for none.
    """

    severity: Severity
    found: str
    fix: str
    cause: str
    alarm: str = ""


def fault(found: str, fix: str, *, cause: str = "", alarm: str = "") -> DoctorFinding:
    """Return a fault; its cause is the text of the finding unless another is given."""
    return DoctorFinding(Severity.FAULT, found, fix, cause or found, alarm)


def warning(found: str, fix: str, *, cause: str = "", alarm: str = "") -> DoctorFinding:
    """Return a warning, as `fault`."""
    return DoctorFinding(Severity.WARNING, found, fix, cause or found, alarm)


def alarm_cause(name: str) -> str:
    """Return the cause of the finding that an alarm is on."""
    return f"alarm {name}"
