"""`push`: shows queues, repeats what was given up, pushes by hand, and decides on held removals."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from chalicelib.aws.tables import Store
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.updates.pacing import Stop
from chalicelib.updates.push_tasks import RecheckReason
from infra.commands.completion import complete_pass_types
from infra.commands.confirmation import confirm, confirm_notification, counted, require_answer
from infra.commands.options import (
    DryRunOption,
    JsonOption,
    NotifyYesOption,
    StageOption,
    YesOption,
    check_pass_type_option,
    read_pass,
    read_since,
)
from infra.core.moments import format_moment
from infra.core.program import command
from infra.core.terminal import progress, standard_error, standard_output, write_json, write_line, write_table
from infra.operate.held_removals import Decided, HeldCount, RemovalQueue
from infra.operate.pacing import Pacing, read_pacing, resume_pushes, stop_pushes
from infra.operate.passes.registrations import RegistrationCounter
from infra.operate.queues import StageQueues
from infra.operate.rechecks import changed_passes, push_again, recheck, unversioned_passes
from infra.operate.redrive import RedrivePlan, count_dead_letters, plan_redrive, redrive_pushes
from infra.stage.stage import Stage

app = typer.Typer(name="push", help="Pushes: status, stop, resume, redrive, send, removals.", no_args_is_help=True)
removals = typer.Typer(name="removals", help="Held removals of devices: list, accept, discard.")
app.add_typer(removals)
TypeOption = Annotated[
    str | None,
    typer.Option(
        "--type",
        help="Only removals of this pass type. Default: all.",
        callback=check_pass_type_option,
        autocompletion=complete_pass_types,
    ),
]
NamedTypeOption = Annotated[
    str,
    typer.Option("--type", help="The pass type.", callback=check_pass_type_option, autocompletion=complete_pass_types),
]


@app.command()
def status(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show the state of the queues, the pushes that are scheduled and until when, and the contents of the dead-letter
    queues.

    Example: passwire push status --stage dev
    """
    deployed = Stage.open(stage)
    queues = StageQueues(deployed)
    states = queues.states()
    letters = count_dead_letters(queues, states)
    pacing = read_pacing(deployed)
    if as_json:
        found = {role: asdict(state) for role, state in states.items()}
        write_json({"queues": found, "pacing": asdict(pacing), "dead_letters": dict(letters)})
        return
    rows = [
        (
            role,
            f"{state.waiting:,}",
            f"{state.in_flight:,}",
            f"{state.delayed:,}",
            "-" if state.oldest_seconds is None else f"{state.oldest_seconds:,} s",
        )
        for role, state in states.items()
    ]
    head = ("queue", "waiting", "in flight", "delayed", "oldest")
    write_table(head, rows, numbers=head[1:])
    for line in _pacing_lines(pacing):
        write_line(line)
    if letters:
        console = standard_output()
        console.print()
        write_table(("count", "dead letter"), [(f"{count:,}", text) for text, count in letters.most_common()])
        standard_error().print(f"to repeat what can be repeated, run: {command('push redrive', '--stage', stage)}")


def _pacing_lines(pacing: Pacing) -> Iterator[str]:
    for name, lane in pacing.lanes.items():
        if lane.until is not None:
            yield f"{lane.devices:6,} devices scheduled in the {name} lane until {format_moment(lane.until)}"
    for fan_out in pacing.fan_outs:
        devices = "more" if fan_out.devices is None else f"{fan_out.devices:,}"
        yield f"{devices:>6} devices of pass {fan_out.pass_id} wait to be scheduled"
    if pacing.until is None:
        yield f"no pushes wait for their turn (at most {pacing.devices_per_second:,} devices per second)"
    else:
        rate = f"at most {pacing.devices_per_second:,} devices per second"
        yield f"all are notified by {format_moment(pacing.until)}, {rate}"


@app.command()
def stop(
    pass_type_identifier: NamedTypeOption,
    *,
    drop: Annotated[bool, typer.Option("--drop", help="Do not send the pushes of changes until now.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Send no pushes until `push resume`.")] = False,
    stage: StageOption = "dev",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop the pushes of a pass type that wait, such as those of a rollout with an error.

    With --drop, later changes are pushed as usual. Phones find a dropped change at their next request, which may be
    the push of the next change. With --keep, all pushes of the type wait. Either takes effect within seconds.

    Example: passwire push stop --type pass.com.acme.boarding --keep --stage dev
    """
    if drop == keep:
        raise typer.BadParameter("give either --drop or --keep")
    if drop:
        require_answer(yes=yes)
    deployed = Stage.open(stage)
    if drop:
        confirm(f"drop the pushes of {pass_type_identifier} that wait in stage {stage}?", yes=yes)
    chosen = Stop.DROP if drop else Stop.KEEP
    stop_pushes(deployed, pass_type_identifier, chosen)
    if as_json:
        write_json({"pass_type_identifier": pass_type_identifier, "stop": chosen.value})
    elif drop:
        write_line(f"dropped the pushes of changes of {pass_type_identifier} until now")
    else:
        write_line(f"stopped the pushes of {pass_type_identifier}; `push resume` sends them")


@app.command()
def resume(
    pass_type_identifier: NamedTypeOption,
    *,
    stage: StageOption = "dev",
    as_json: JsonOption = False,
) -> None:
    """Send the pushes of a pass type again that `push stop --keep` has stopped, within 15 minutes.

    Example: passwire push resume --type pass.com.acme.boarding --stage dev
    """
    resumed = resume_pushes(Stage.open(stage), pass_type_identifier)
    if as_json:
        write_json({"pass_type_identifier": pass_type_identifier, "resumed": resumed})
    elif resumed:
        write_line(f"resumed the pushes of {pass_type_identifier}; they are sent within 15 minutes")
    else:
        write_line(f"the pushes of {pass_type_identifier} were not stopped")


@app.command()
def redrive(
    stage: StageOption = "dev",
    *,
    discard_refused: Annotated[
        bool, typer.Option("--discard-refused", help="Delete the dead letters of refused items instead.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Repeat what was given up: push tasks in the dead-letter queue and batches in the stream-failure queue.

    Passes whose items were refused are rechecked: valid ones are pushed, and the others are refused again. If
    interrupted, run the same command again: what is left in the queues is repeated.

    Example: passwire push redrive --stage dev
    """
    console = standard_error()
    deployed = Stage.open(stage)
    with console.status("reading the queues"):
        plan = plan_redrive(deployed, discard_refused=discard_refused)
    if dry_run:
        _print_plan(plan, as_json=as_json)
        return
    action = f"repeat {counted(plan.tasks, 'push task')}, recheck {counted(plan.rechecks, 'pass')}"
    if plan.batches:
        confirm(
            f"{action}, process {counted(plan.batches, 'stream batch')} again, whose devices are not known yet, and "
            f"notify {counted(plan.devices, 'device')}?",
            yes=yes,
        )
    else:
        confirm_notification(action, devices=plan.devices, yes=yes)
    with console.status("redriving") as shown:
        done = redrive_pushes(
            deployed,
            discard_refused=discard_refused,
            on_progress=lambda number: shown.update(f"redriving, message {number}"),
        )
    if as_json:
        write_json({**asdict(done), "kept": dict(done.kept), "devices": plan.devices})
        return
    write_line(
        f"{counted(done.tasks, 'push task')} returned to the push queue, {counted(done.batches, 'stream batch')} "
        f"processed again, {counted(done.rechecks, 'pass')} with refused items to be rechecked, "
        f"{counted(done.discarded, 'dead letter')} discarded"
    )
    if done.kept:
        write_table(("count", "kept because"), [(f"{count:,}", reason) for reason, count in done.kept.items()])


@app.command()
def send(
    passes: Annotated[
        list[str] | None, typer.Argument(metavar="[PASS...]", help="`<passTypeIdentifier>/<serialNumber>`")
    ] = None,
    *,
    changed_since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Instead: every pass that changed since 30m, 24h or 7d ago, or 2026-12-24T18:30:00Z."
        ),
    ] = None,
    lost_versions: Annotated[
        bool, typer.Option("--lost-versions", help="Instead: every pass without a version, or with only a first one.")
    ] = False,
    stage: StageOption = "dev",
    dry_run: DryRunOption = False,
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Push to every device that has a pass, whether the pass changed or not.

    Use --changed-since after an outage in which downloads failed: each pass that changed since then gets a new
    Last-Modified, so that phones are notified and download it again. A pass that cannot be built now is pushed when it
    can be. This reads all versions.

    Use --lost-versions after the versions table was lost: each of these passes gets a new version, and its phones
    download it again. This reads all passes.

    Example: passwire push send pass.com.acme.boarding/7K2M9Q --stage dev
    """
    if [bool(passes), changed_since is not None, lost_versions].count(True) != 1:
        raise typer.BadParameter("give one of PASS..., --changed-since and --lost-versions")
    pass_ids = list(dict.fromkeys(map(read_pass, passes or ())))
    since = read_since(changed_since, option="--changed-since") if changed_since is not None else 0.0
    deployed = Stage.open(stage)
    with standard_error().status("counting devices"):
        keys = list(map(str, pass_ids))
        if not keys:
            keys = unversioned_passes(deployed) if lost_versions else changed_passes(deployed, since)
        registrations = RegistrationCounter(deployed)
        devices = registrations.devices(keys)
        unheld = [key for key in keys if pass_ids and not registrations.devices([key])]
    if unheld:
        raise RefusedError(f"pass {unheld[0]}: no device is registered for it; nothing was sent")
    selection = counted(len(keys), "pass")
    if lost_versions:
        selection += " without a version"
    elif not pass_ids:
        selection += f" changed since {format_moment(since)}"
    if not dry_run:
        confirm_notification(f"push {selection}", devices=devices, yes=yes)
        _send(deployed, pass_ids, keys)
    if as_json:
        write_json({"passes": len(keys), "devices": devices, "dry_run": dry_run})
    else:
        done = "would request" if dry_run else "requested"
        write_line(f"{done} pushes of {selection}; {counted(devices, 'device')} to notify")


def _send(stage: Stage, pass_ids: list[PassId], keys: list[str]) -> None:
    sent = 0
    with progress("requesting pushes", total=len(keys)) as update:

        def on_progress(count: int) -> None:
            nonlocal sent
            sent += count
            update(advance=count)

        try:
            for pass_id in pass_ids:
                push_again(stage, pass_id)
                on_progress(1)
            if not pass_ids:
                recheck(stage, keys, RecheckReason.UNSETTLED, on_progress=on_progress)
        except BaseException:
            standard_error().print(
                f"stopped after {sent:,} of {len(keys):,} passes; the same command begins with the first pass again"
            )
            raise


@removals.callback(invoke_without_command=True)
def list_removals(context: typer.Context, stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Show held removals of devices by pass type and reason.

    Removals are held when APNs refuses the push tokens of many devices at once: the push host or the credentials may
    belong to the wrong environment, or APNs may have a problem. Find the cause before you accept them.

    Example: passwire push removals --stage dev
    """
    if context.invoked_subcommand is not None:
        return
    held = RemovalQueue(Stage.open(stage)).count_removals()
    if as_json:
        write_json([{**asdict(count), "oldest_change": format_moment(count.oldest_change)} for count in held])
        return
    console = standard_error()
    if not held:
        console.print("no removals are held")
        return
    rows = [
        (count.pass_type_identifier, count.reason, f"{count.devices:,}", format_moment(count.oldest_change))
        for count in held
    ]
    write_table(("pass type", "APNs", "devices", "oldest change"), rows, numbers=("devices",))
    accepting, discarding = (command(f"push removals {verb}", "--stage", stage) for verb in ("accept", "discard"))
    console.print(f"if the devices no longer exist: {accepting}; if host or credentials were wrong: {discarding}")


@removals.command()
def accept(
    stage: StageOption = "dev",
    *,
    pass_type_identifier: TypeOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the devices whose removal is held. A device that has registered since is kept, and a push is sent to it.

    Removed devices are not notified of changes until they register again, which phones do not do by themselves.

    Example: passwire push removals accept --type pass.com.acme.boarding --stage dev
    """
    deployed = Stage.open(stage)
    held = RemovalQueue(deployed)
    if devices := _held_devices(held.count_removals(), pass_type_identifier):
        confirm(f"remove {counted(devices, 'device')}, which are not notified any more?", yes=yes)
    with standard_error().status("removing devices") as shown:
        done = held.accept_removals(
            Store.connect(deployed.settings),
            pass_type_identifier=pass_type_identifier,
            on_progress=lambda number: shown.update(f"removing devices, {number}"),
        )
    _print_decided(done, as_json=as_json)


@removals.command()
def discard(
    stage: StageOption = "dev",
    *,
    pass_type_identifier: TypeOption = None,
    yes: NotifyYesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Keep the devices whose removal is held, and push to them again.

    Example: passwire push removals discard --stage dev
    """
    held = RemovalQueue(Stage.open(stage))
    devices = _held_devices(held.count_removals(), pass_type_identifier)
    confirm_notification("discard the held removals", devices=devices, yes=yes)
    with standard_error().status("pushing again") as shown:
        done = held.discard_removals(
            pass_type_identifier=pass_type_identifier,
            on_progress=lambda number: shown.update(f"pushing again, device {number}"),
        )
    _print_decided(done, as_json=as_json)


def _held_devices(held: list[HeldCount], pass_type_identifier: str | None) -> int:
    return sum(count.devices for count in held if pass_type_identifier in (None, count.pass_type_identifier))


def _print_plan(plan: RedrivePlan, *, as_json: bool) -> None:
    if as_json:
        write_json({**asdict(plan), "dry_run": True})
        return
    rows = [
        ("push tasks to repeat", plan.tasks),
        ("passes with refused items to recheck", plan.rechecks),
        ("stream batches to process again", plan.batches),
        ("dead letters to discard", plan.discarded),
        ("messages to keep", plan.kept),
        ("devices to notify", plan.devices),
    ]
    write_table(("would do", "count"), [(name, f"{count:,}") for name, count in rows], numbers=("count",))


def _print_decided(done: Decided, *, as_json: bool) -> None:
    if as_json:
        write_json(asdict(done))
        return
    write_line(
        f"{counted(done.removed, 'device')} removed, {done.pushed:,} to be pushed to again, "
        f"{done.unregistered:,} no longer existed"
    )
