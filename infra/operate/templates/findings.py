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
        source: the page or tool that the rule comes from; may be empty.
    """

    severity: Severity
    file: str
    path: str
    problem: str
    source: str = ""

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.file, self.path, self.problem) if part)
        return f"{said} ({self.source})" if self.source else said


def error(file: str, path: str, problem: str, source: str = "") -> Finding:
    return Finding(Severity.ERROR, file, path, problem, source)


def warning(file: str, path: str, problem: str, source: str = "") -> Finding:
    return Finding(Severity.WARNING, file, path, problem, source)
