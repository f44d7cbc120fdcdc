"""What a check has to say: what it found and what mends it."""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """A fault keeps devices from being updated, now; a warning will, or keeps people from knowing."""

    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One thing that is not as it must be.

    Args:
        found: what, in a sentence that names the thing; never a secret.
        fix: what to do.
    """

    severity: Severity
    found: str
    fix: str


def fault(found: str, fix: str) -> DoctorFinding:
    return DoctorFinding(Severity.FAULT, found, fix)


def warning(found: str, fix: str) -> DoctorFinding:
    return DoctorFinding(Severity.WARNING, found, fix)
