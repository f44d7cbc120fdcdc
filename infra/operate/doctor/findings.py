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
        fix: what to do about it.
    """

    severity: Severity
    found: str
    fix: str


def fault(found: str, fix: str) -> DoctorFinding:
    return DoctorFinding(Severity.FAULT, found, fix)


def warning(found: str, fix: str) -> DoctorFinding:
    return DoctorFinding(Severity.WARNING, found, fix)
