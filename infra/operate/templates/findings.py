"""What a check has to say: where, what is wrong, what to do."""

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Whether a pass can be made of it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell a designer.

    Args:
        severity: an error keeps a template from being stored.
        file: within the folder.
        path: within a JSON file, as `generic.backFields[0].value`; empty where it is the whole file.
        problem: what is wrong and what to do, in a sentence.
    """

    severity: Severity
    file: str
    path: str
    problem: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, self.problem) if part)


def error(file: str, path: str, problem: str) -> Finding:
    return Finding(Severity.ERROR, file, path, problem)


def warning(file: str, path: str, problem: str) -> Finding:
    return Finding(Severity.WARNING, file, path, problem)
