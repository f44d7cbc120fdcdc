"""Prints findings of the template check."""

from chalicelib.passes.format.findings import Level
from infra.core.terminal import PlainConsole, styled
from infra.operate.templates.findings import TemplateFinding

_COLORS = {Level.ERROR: "red", Level.WARNING: "yellow"}


def show_findings(folder: str, findings: list[TemplateFinding], console: PlainConsole) -> None:
    """Print findings, one per line, or that no problems were found."""
    for finding in findings:
        console.print(styled(finding.level.value, _COLORS[finding.level], f": {finding}"))
    if not findings:
        console.print(f"{folder}: no problems found")


def described(finding: TemplateFinding) -> dict[str, str]:
    """Return a finding for JSON."""
    return {
        "severity": finding.level.value,
        "file": finding.file,
        "path": finding.path,
        "problem": finding.problem,
        "source": finding.source,
    }
