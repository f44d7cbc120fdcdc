"""Parts that `template push` and `template rollback` share: a revision becomes current."""

import time
from dataclasses import asdict
from datetime import UTC, datetime

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from chalicelib.aws.templates import KEEP_SECONDS
from chalicelib.passes.template import Template
from infra.core.terminal import PlainConsole, styled, write_json, write_table
from infra.operate.rechecks import recheck_refused
from infra.operate.templates.bucket import PushedRevision
from infra.operate.templates.publishing import PushPlan
from infra.operate.templates.touch import touch, untouched
from infra.stage.stage import Stage

SETTLE_SECONDS = KEEP_SECONDS + 2
"""After this time no execution environment builds passes from the old revision."""


def print_plan(name: str, plan: PushPlan, *, as_json: bool) -> None:
    """Print what a push or a rollback would do."""
    if as_json:
        write_json({"template": name, **asdict(plan), "dry_run": True})
        return
    changed = "is current already" if plan.revision == plan.before else f"replaces {plan.before or 'nothing'}"
    rows = [("revision", f"{plan.revision}, {changed}")]
    rows += [("passes to recheck", f"{plan.rechecked:,}"), ("passes to touch", f"{plan.touched:,}")]
    write_table(("would do", ""), [*rows, ("devices to notify", f"{plan.devices:,}")])


def publish(
    stage: Stage, name: str, pushed: PushedRevision, *, rate: float | None, console: PlainConsole
) -> dict[str, object]:
    """Recheck the refused passes of a template whose revision became current, and touch all passes if asked.

    Args:
        stage: the stage.
        name: name of the template.
        pushed: the revision.
        rate: passes to touch per second; None to touch none.
        console: for progress.

    Returns:
        The results, for JSON.
    """
    console.print(
        f"template {name}: revision {pushed.revision} "
        + ("was current already" if pushed.unchanged else "is current now")
    )
    rechecked = _recheck_refused(stage, name, console)
    touched = None
    if rate is not None:
        console.print(f"waiting {SETTLE_SECONDS:.0f} s until all functions use it")
        time.sleep(SETTLE_SECONDS)
        touched = _notify(stage, name, pushed.revision, rate, console)
    return {
        "template": name,
        "revision": pushed.revision,
        "before": pushed.before,
        "rechecked": rechecked,
        "touched": touched,
    }


def warn_of_lost_fields(before: Template | None, after: Template, console: PlainConsole) -> None:
    """Warn of fields that the new revision lacks: items that contain them are refused."""
    lost = sorted(set(before.places) - set(after.places)) if before else []
    if lost:
        console.print(
            styled(
                "warning",
                "yellow",
                f": the fields {', '.join(lost)} were removed: items that contain them are refused; restore "
                "the fields, or remove them from the pipeline",
            )
        )


def _recheck_refused(stage: Stage, name: str, console: PlainConsole) -> int:
    """Request a recheck of the passes that were refused because of this template.

    This is done even if the revision was current already: an earlier push may have been interrupted before it.
    """
    with console.status("reading refused passes") as shown:
        count = recheck_refused(stage, name, on_progress=lambda _: shown.update("requesting rechecks"))
    if count:
        console.print(f"{count:,} passes whose items were refused will be rechecked")
    return count


def _notify(stage: Stage, name: str, revision: str, rate: float, console: PlainConsole) -> int:
    """Touch the template's passes, and print their number, also after Ctrl-C."""
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} passes touched"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("touch", total=None)
        started, advice = datetime.now(UTC), "; interrupted, run the same command again to resume"
        try:
            touch(
                stage,
                untouched(stage, template=name, revision=revision),
                template=name,
                revision=revision,
                rate=rate,
                on_progress=lambda count: bar.advance(task, count),
            )
            advice = ""
        finally:
            seconds = (datetime.now(UTC) - started).total_seconds()
            count = int(bar.tasks[task].completed)
            console.print(f"touched {count:,} passes in {seconds:.1f} s{advice}")
    return count
