"""What a check reports: the level, where, why and what to do, and who says so."""

from dataclasses import dataclass, replace
from enum import Enum

from chalicelib.core.errors import shown

MAX_FINDINGS = 100
"""A pass.json of two megabytes can be wrong in a hundred thousand places; one person cannot read that many."""
_MAX_SHOWN = 40


class Level(Enum):
    """What a phone does with the pass."""

    ERROR = "error"
    """Phones refuse the pass, or show it without what it is for."""
    WARNING = "warning"
    """Phones leave the value out, or show it otherwise than written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Args:
        level: error or warning.
        path: within the JSON, such as `generic.backFields[0].value`; empty for the whole document.
        problem: what is wrong and what to do, one sentence without a full stop.
        source: the page or tool that the rule comes from, such as `Apple, Pass.Locations`; may be empty.
    """

    level: Level
    path: str
    problem: str
    source: str = ""

    def __str__(self) -> str:
        said = f"{self.path}: {self.problem}" if self.path else self.problem
        return f"{said} ({self.source})" if self.source else said


class Report:
    """Collects findings, up to `MAX_FINDINGS`. Its length is the count of those collected.

    Args:
        suggestions: how many unknown keys are compared with the known ones, for the one that was meant. It costs
            milliseconds each, so only people who wait for a check get them.
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
        """Give the findings from index `start` on a source, where they have none."""
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
            return  # a value is wrong once: what follows from it says nothing more
        self.findings.append(Finding(level, path, problem, source))


def quoted(value: object) -> str:
    """A value for a message: short, and printable whatever it holds."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and value.bit_length() > _MAX_SHOWN * 3:
        return "a number of very many digits"  # Python refuses to write some of them
    text = shown(value, most=_MAX_SHOWN)
    return f'"{text}"' if isinstance(value, str) else text
