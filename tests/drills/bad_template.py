"""A drill: a bad template is pushed to many passes and rolled back. Says how long each step took, and what was lost.

`python -m tests.drills.bad_template --passes 10000` runs it on a local run of its own. Two templates are bad in two
ways: one has a wrong text, which phones show; the other lacks a field that all items have, so that the items are
refused and no phone can download. `passwire template rollback NAME --notify` undoes both.
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner

from chalicelib.aws.templates import PACKAGED
from chalicelib.core.identifiers import PassId
from infra.commands import app
from infra.core.terminal import write_text
from infra.local.phones import HeadlessPhone, Phones, Shown
from infra.local.processes import PROJECT
from infra.local.run import LocalRun, local_run
from infra.operate.rechecks import refused_passes
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage import aws
from infra.stage.stage import Stage

STILL_SECONDS = 60.0
CONNECTIONS = 8
RATE = 1000
FOLDER = PROJECT / ".passwire" / "drill"


@dataclass
class Drill:
    """State and transcript of the drill.

    Args:
        stack: the local run.
        passes: number of passes.
        phones: number of phones, each with another pass.
        text_only: leaves out the template without a field.
        on_progress: called with each line of the transcript.
        shown: what each phone shows last: the description of its pass.
    """

    stack: LocalRun
    passes: int
    phones: int
    text_only: bool
    on_progress: Callable[[str], None]
    shown: dict[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"drill-{secrets.token_hex(3)}")

    async def play(self) -> int:
        """Play the drill; returns the number of phones that do not show the right template in the end."""
        self.stack.use()
        pass_ids = [PassId(self.stack.pass_type_identifier, f"{self.name}-{n:07d}") for n in range(self.passes)]
        with self._cleaned_up(pass_ids), TemporaryDirectory() as folder:
            await asyncio.to_thread(self._push, Path(folder), "Good", [])
            await self._timed(f"wrote {self.passes:,} passes", self._write, pass_ids)
            keys = Stage.open(self.stack.stage).secrets.authentication_keys()
            phones = [
                HeadlessPhone.holding({pass_id: keys.issue(pass_id, item_token=None).value})
                for pass_id in pass_ids[:: max(1, self.passes // self.phones)][: self.phones]
            ]
            async with Phones.running(
                phones,
                api_url=self.stack.api_url,
                apns_control_url=self.stack.apns_control_url,
                on_shown=self._show,
                connections=CONNECTIONS,
            ) as population:
                await population.register(phones, at_once=CONNECTIONS)
                self.on_progress(f"registered {len(phones):,} phones")
                await self._until(population, lambda: not population.busy)
                wrong = ["--notify", "--rate", RATE, "--yes"]
                await self._timed("pushed a template with a wrong text", self._push, Path(folder), "Wrong", wrong)
                await self._until(population, lambda: self._showing("Wrong") == len(phones))
                self.on_progress(f"{self._showing('Wrong'):,} phones show the wrong text")
                await self._timed("rolled it back", self._roll_back)
                await self._until(population, lambda: self._showing("Good") == len(phones))
                self.on_progress(f"{self._showing('Good'):,} phones show the right text again")
                if self.text_only:
                    return len(phones) - self._showing("Good")
                await self._timed("pushed a template without a field", self._push, Path(folder), "Broken", wrong)
                await self._until(population, lambda: self._refused() == self.passes)
                self.on_progress(f"{self._refused():,} items are refused, {self._showing('Broken'):,} phones show it")
                self.shown.clear()
                await self._timed("rolled it back", self._roll_back)
                await self._until(population, lambda: not self._refused() and self._showing("Good") == len(phones))
                lost = len(phones) - self._showing("Good")
                self.on_progress(f"{self._refused():,} items are refused; {lost} phones lost")
                return lost + self._refused()

    async def _timed(self, what: str, action: Callable[..., object], *arguments: object) -> None:
        started = time.monotonic()
        await asyncio.to_thread(action, *arguments)
        self.on_progress(f"{what} in {time.monotonic() - started:.1f} s")

    async def _until(self, population: Phones, condition: Callable[[], bool]) -> None:
        """Wait until a condition is met, or nothing happens any more."""
        started = since = time.monotonic()
        seen: tuple[int, int] | None = None
        while not await asyncio.to_thread(condition) and time.monotonic() - since < STILL_SECONDS:
            if (now := (population.counts.requests, self._refused())) != seen:
                seen, since = now, time.monotonic()
            await asyncio.sleep(0.5)
        self.on_progress(f"waited {time.monotonic() - started:.1f} s")

    # ------------------------------------------------------------ the stage

    def _write(self, pass_ids: Sequence[PassId]) -> None:
        with aws.resource("dynamodb").Table(self.stack.tables["passes"]).batch_writer() as batch:
            for pass_id in pass_ids:
                batch.put_item(Item={"pass_id": str(pass_id), "template": self.name, "fields": {"gate": "A1"}})

    def _push(self, folder: Path, description: str, options: list[object]) -> None:
        target = folder / f"{self.name}.pass"
        for path in PACKAGED.joinpath("boarding.pass").rglob("*"):
            if path.is_file():
                copy = target / path.relative_to(PACKAGED / "boarding.pass")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        content: dict[str, Any] = json.loads((target / "pass.json").read_text())
        content["description"] = description
        if description == "Broken":
            content["boardingPass"]["headerFields"] = []
        (target / "pass.json").write_text(json.dumps(content))
        self._run("template", "push", target, *options)

    def _roll_back(self) -> None:
        self._run("template", "rollback", self.name, "--notify", "--rate", RATE, "--yes")

    def _run(self, *arguments: object) -> None:
        command = [*map(str, arguments), "--stage", self.stack.stage]
        done = CliRunner().invoke(app, command)
        self.on_progress("passwire " + " ".join(part.rpartition("/")[2] for part in command))
        if done.exit_code:
            raise RuntimeError(done.output)

    def _refused(self) -> int:
        return len(refused_passes(Stage.open(self.stack.stage), self.name))

    @contextlib.contextmanager
    def _cleaned_up(self, pass_ids: Sequence[PassId]) -> Iterator[None]:
        try:
            yield
        finally:
            with aws.resource("dynamodb").Table(self.stack.tables["passes"]).batch_writer() as batch:
                for pass_id in pass_ids:
                    batch.delete_item(Key={"pass_id": str(pass_id)})
            TemplatesBucket(Stage.open(self.stack.stage)).delete(self.name)

    # ------------------------------------------------------------ phones

    def _show(self, shown: Shown) -> None:
        self.shown[shown.phone.device_library_identifier] = str(shown.content["description"])

    def _showing(self, description: str) -> int:
        return sum(shown == description for shown in self.shown.values())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.drills.bad_template", description="A drill.")
    parser.add_argument("--passes", type=int, default=10_000, help="number of passes (10000)")
    parser.add_argument("--phones", type=int, default=100, help="number of phones (100)")
    parser.add_argument("--text-only", action="store_true", help="leave out the template without a field")
    chosen = parser.parse_args()
    started = time.monotonic()

    def write(line: str) -> None:
        write_text(f"{time.monotonic() - started:7.1f} s  {line}")

    with local_run(FOLDER, on_progress=lambda _: None, fresh=True) as stack:
        drill = Drill(stack, chosen.passes, chosen.phones, text_only=chosen.text_only, on_progress=write)
        lost = asyncio.run(drill.play())
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
