"""Findings of a check: their level, path, problem, remedy and source."""

from dataclasses import dataclass, replace
from enum import Enum

from chalicelib.core.errors import excerpt

MAX_FINDINGS = 100
"""A pass.json of two megabytes can have a hundred thousand problems, more than a person can read."""
_MAX_SHOWN = 40


class Level(Enum):
    """Severity of a finding: the effect on phones."""

    ERROR = "error"
    """Phones refuse the pass, or show it without an essential part."""
    WARNING = "warning"
    """Phones leave the value out, or show it in another way than written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem.

    Args:
        level: error or warning.
        path: path in the JSON, such as `generic.backFields[0].value`; empty for the whole document.
        problem: what is wrong and what to do, as one sentence without a full stop.
        source: page or tool that states the rule, such as `Apple, Pass.Locations`; may be empty.
    """

    level: Level
    path: str
    problem: str
    source: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.problem}" if self.path else self.problem
        return f"{text} ({self.source})" if self.source else text


class Report:
    """Collector of up to `MAX_FINDINGS` findings. Its length is the number collected.

    Args:
        suggestions: number of unknown keys for which the most similar known key is suggested. Each takes milliseconds,
            so it is used only for checks that a person has started.
    """

    __slots__ = ("findings", "suggestions")

    def __init__(self, *, suggestions: int = 0) -> None:
        self.findings: list[Finding] = []
        self.suggestions = suggestions

    def __len__(self) -> int:
        return len(self.findings)

    def error(self, path: str, problem: str, source: str = "") -> None:
        self._add(Level.ERROR, path, problem, source)

    def warning(self, path: str, problem: str, source: str = "") -> None:
        self._add(Level.WARNING, path, problem, source)

    def cite(self, start: int, source: str) -> None:
        """Set the source of the findings from index `start` on that have no source yet."""
        for index in range(start, len(self.findings)):
            if not self.findings[index].source:
                self.findings[index] = replace(self.findings[index], source=source)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level is Level.ERROR]

    @property
    def full(self) -> bool:
        return len(self.findings) >= MAX_FINDINGS

    def _add(self, level: Level, path: str, problem: str, source: str) -> None:
        if self.full or (path and any(f.path == path and f.level is level is Level.ERROR for f in self.findings)):
            return  # further errors of the same value follow from the first
        self.findings.append(Finding(level, path, problem, source))


def quoted(value: object) -> str:
    """Return a value as a message quotes it: short and printable."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and value.bit_length() > _MAX_SHOWN * 3:
        return "a number of very many digits"  # Python refuses to convert some of them to text
    text = excerpt(value, max_characters=_MAX_SHOWN)
    return f'"{text}"' if isinstance(value, str) else text
