"""Prints findings of the template check."""

from infra.core.terminal import PlainConsole, styled
from infra.operate.templates.findings import Finding, Severity

_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def show_findings(folder: str, findings: list[Finding], console: PlainConsole) -> None:
    """Print findings, one per line, or that no problems were found."""
    for finding in findings:
        console.print(styled(finding.severity.value, _COLORS[finding.severity], f": {finding}"))
    if not findings:
        console.print(f"{folder}: no problems found")


def described(finding: Finding) -> dict[str, str]:
    """Return a finding for JSON."""
    return {
        "severity": finding.severity.value,
        "file": finding.file,
        "path": finding.path,
        "problem": finding.problem,
        "source": finding.source,
    }
