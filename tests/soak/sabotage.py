"""Breaks the deployed service on purpose, to test the soak: each defect must be noticed.

`python -m tests.soak.sabotage` soaks the service with each defect and prints what was noticed.
"""

import argparse
import asyncio
import contextlib
import io
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import ModuleType

from chalicelib.aws import queue
from chalicelib.flows import change, push_worker
from chalicelib.updates import changes
from infra.core.terminal import write_text
from infra.local.processes import PROJECT
from infra.local.run import LocalRun, local_run
from infra.stage import aws
from tests.schedules.mutations import MUTATIONS, Edit, edited
from tests.soak.plan import Fault, Plan
from tests.soak.run import Report, soak

FOLDER = PROJECT / ".passwire" / "sabotage"
CHANGED = "changed = [entry for entry in batch.entries if isinstance(entry, RefusedRecord) or entry.count]"


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect of the service.

    Args:
        edits: of its source.
        faults: during which it loses something; on until the last change has been processed.
    """

    edits: Sequence[Edit]
    faults: Sequence[str] = ()


DEFECTS: Mapping[str, Defect] = {
    "drop one stream record in ten": Defect(
        (Edit(change, CHANGED, f"{CHANGED}\n        changed = [e for e in changed if e.sequence_number[-1] != '7']"),)
    ),
    "acknowledge messages without pushing": Defect(
        (Edit(push_worker, "            failed.extend(self._pushed(due, deadline=deadline))\n", "            pass\n"),),
        ("APNs answers 503",),
    ),
    "stamp after the push": Defect(
        (
            Edit(
                change,
                "        version = stamp(\n",
                "        if not deleted and not change.first_issue:\n"
                "            page = self.store.registrations.page(change.pass_id, after=None, limit=100)\n"
                "            early = PushTarget(set(page.devices), change.written_at)\n"
                "            kind, until = change.pass_id.pass_type_identifier, time.monotonic() + 5\n"
                "            self._send_pushes(kind, early, deadline=until)\n"
                "            time.sleep(3)\n"
                "        version = stamp(\n",
            ),
            Edit(
                change,
                "            return self._find_devices(change, version)\n",
                "            pass\n",
            ),
        )
    ),
    "drop pushes that APNs did not take": Defect(MUTATIONS["failed pushes dropped"], ("APNs answers 503",)),
    "ignore messages that SQS refused": Defect(
        (Edit(queue, "                if not failed:\n", "                if failed or not failed:\n"),),
        ("APNs answers 503", "SQS refuses messages"),
    ),
    "push although nothing has changed": Defect(
        (Edit(changes, "return replace(_change(new.pass_id, record, new), count=0)", "pass"),)
    ),
}
TAIL_SECONDS = 15.0
STILL_SECONDS = 10.0
"""A soak of a broken service waits for phones that will never show anything, so not for long."""


@contextlib.contextmanager
def sabotaged(stack: LocalRun, defect: str, *, package: Path) -> Iterator[None]:
    """Deploy the functions with a defect while the context lasts.

    Args:
        stack: the local run.
        defect: of `DEFECTS`.
        package: the zip that it was deployed with.
    """
    whole = package.read_bytes()
    _deploy(stack, _edited_zip(whole, edited(DEFECTS[defect].edits, name=defect)))
    try:
        yield
    finally:
        _deploy(stack, whole)


def _edited_zip(whole: bytes, sources: Mapping[ModuleType, str]) -> bytes:
    """Replace modules of a package by other sources, and leave out what was compiled of them."""
    paths = {f"{module.__name__.replace('.', '/')}.py": source for module, source in sources.items()}
    stems = {str(PurePosixPath(path).parent / "__pycache__" / PurePosixPath(path).stem) for path in paths}
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in paths and name.partition(".")[0] not in stems:
                new.writestr(name, old.read(name))
        for path, source in paths.items():
            new.writestr(path, source)
    return packed.getvalue()


def _deploy(stack: LocalRun, code: bytes) -> None:
    client = aws.client("lambda")
    for role in ("push", "push_worker"):
        client.update_function_code(FunctionName=stack.functions[role], ZipFile=code)


def notices(report: Report) -> str:
    """Say in a few words what a soak noticed; empty if it noticed nothing."""
    found = [f"{len(report.lost)} passes on phones lost"] if report.lost else []
    found += [f"{len(report.unchanged)} pushes without a change"] if report.unchanged else []
    return ", ".join([*found, *report.problems[:1]])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.sabotage", description="Soaks of a broken service.")
    parser.add_argument("--seconds", type=float, default=10, help="length of the load (10)")
    parser.add_argument("--seed", type=int, default=1, help="of the load (1)")
    parser.add_argument("--defect", choices=list(DEFECTS), action="append", help="all of them by default")
    chosen = parser.parse_args()
    unnoticed = 0
    with local_run(FOLDER, on_progress=lambda _: None, fresh=True) as stack:
        for defect in chosen.defect or DEFECTS:
            with sabotaged(stack, defect, package=FOLDER / "package" / "functions.zip"):
                plan = Plan.of(chosen.seed, seconds=chosen.seconds, faults=False, passes=20, phones=10)
                until = chosen.seconds + TAIL_SECONDS
                plan = replace(plan, faults=[Fault(0, until, kind) for kind in DEFECTS[defect].faults])
                report = asyncio.run(soak(stack, plan, on_progress=lambda _: None, still_seconds=STILL_SECONDS))
            noticed = notices(report)
            unnoticed += not noticed
            write_text(f"{defect}: {noticed or 'NOT NOTICED'}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
