"""`doctor`: checks a stage for everything that keeps devices from being updated."""

from collections import Counter
from collections.abc import Sequence

import typer
from rich.progress import MofNCompleteColumn

from infra.commands.confirmation import counted
from infra.commands.options import JsonOption, StageOption
from infra.core.terminal import PlainConsole, progress, standard_output, styled, write_json
from infra.operate.doctor.checks import CHECKS
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import Severity
from infra.operate.doctor.run import CheckResult, is_healthy, run_checks
from infra.stage.stage import Stage

COLORS = {Severity.FAULT: "red", Severity.WARNING: "yellow", None: "green"}


def doctor(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Check a stage for everything that makes devices silently not update. Exit code 1: a fault was found.

    Example: passwire doctor --stage prod
    """
    doctor = DoctorContext(Stage.open(stage))
    with progress("checking", MofNCompleteColumn(), total=len(CHECKS)) as update:
        results = run_checks(doctor, on_progress=lambda result: update(advance=1, description=result.check.name))
    if as_json:
        write_json(_described(stage, results))
    else:
        _show(stage, results, standard_output())
    if not is_healthy(results):
        raise typer.Exit(1)


def _show(stage: str, results: Sequence[CheckResult], console: PlainConsole) -> None:
    """Print the result of the whole, then each finding with its remedy, and each check that found nothing."""
    counts = Counter(finding.severity for result in results for finding in result.findings)
    faults, warnings = counts[Severity.FAULT], counts[Severity.WARNING]
    state = "devices are not updated as they should be" if faults else "devices are updated"
    console.print(f"stage {stage}: {counted(faults, 'fault')}, {counted(warnings, 'warning')}: {state}")
    for result in results:
        for finding in result.findings:
            console.print(styled(f"{finding.severity.value:8}", COLORS[finding.severity], f" {finding.found}"))
            console.print(f"{'':8} to do: {finding.fix}")
    for result in results:
        if result.same_as and not result.findings:
            console.print(f"{'see':8} {', '.join(result.same_as)}: {result.check.name} found the same")
    for result in results:
        if not result.findings and not result.same_as:
            console.print(styled(f"{'ok':8}", COLORS[None], f" {result.check.title}"))


def _described(stage: str, results: Sequence[CheckResult]) -> dict[str, object]:
    return {
        "stage": stage,
        "healthy": is_healthy(results),
        "checks": [
            {
                "name": result.check.name,
                "seconds": round(result.seconds, 3),
                "same_as": list(result.same_as),
                "findings": [{"severity": f.severity.value, "found": f.found, "fix": f.fix} for f in result.findings],
            }
            for result in results
        ],
    }
