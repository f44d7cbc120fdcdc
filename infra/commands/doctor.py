"""`doctor`: checks a stage for everything that keeps devices from being updated."""

from collections import Counter
from collections.abc import Sequence

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from infra.commands.options import JsonOption, StageOption
from infra.core.terminal import PlainConsole, standard_error, standard_output, styled, write_json
from infra.operate.doctor.checks import CHECKS
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import Severity
from infra.operate.doctor.run import Result, is_healthy, run_checks
from infra.stage.stage import Stage

COLORS = {Severity.FAULT: "red", Severity.WARNING: "yellow", None: "green"}


def doctor(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Check a stage for everything that makes devices silently not update. Exit code 1: a fault was found.

    Example: python -m infra doctor --stage prod
    """
    doctor = DoctorContext(Stage.open(stage))
    columns = (TextColumn("checking"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    progress = standard_error()
    with Progress(*columns, console=progress, transient=True, disable=not progress.is_terminal) as bar:
        task = bar.add_task("", total=len(CHECKS))
        results = run_checks(
            doctor, on_progress=lambda result: bar.update(task, advance=1, description=result.check.name)
        )
    if as_json:
        write_json(_described(stage, results))
    else:
        _show(results, standard_output())
    if not is_healthy(results):
        raise typer.Exit(1)


def _show(results: Sequence[Result], console: PlainConsole) -> None:
    for result in results:
        worst = _worst(result)
        console.print(styled(f"{worst.value if worst else 'ok':8}", COLORS[worst], f" {result.check.title}"))
        for finding in result.findings:
            console.print(styled(f"  {finding.severity.value}:", COLORS[finding.severity], f" {finding.found}"))
            console.print(f"    to do: {finding.fix}")
    counts = Counter(finding.severity for result in results for finding in result.findings)
    console.print(", ".join(f"{counts[s]} {s.value}{'' if counts[s] == 1 else 's'}" for s in Severity))


def _worst(result: Result) -> Severity | None:
    """Return the worst severity of the findings; None without findings."""
    return next((s for s in Severity if any(finding.severity is s for finding in result.findings)), None)


def _described(stage: str, results: Sequence[Result]) -> dict[str, object]:
    return {
        "stage": stage,
        "healthy": is_healthy(results),
        "checks": [
            {
                "name": result.check.name,
                "seconds": round(result.seconds, 3),
                "findings": [{"severity": f.severity.value, "found": f.found, "fix": f.fix} for f in result.findings],
            }
            for result in results
        ],
    }
