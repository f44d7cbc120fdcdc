"""Running schedules: `python -m tests.schedules.explore` explores many and prints what breaking each guard leads to."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from chalicelib import log
from chalicelib.domain.identifiers import PassId
from chalicelib.flows import change, drain
from tests.schedules.memory import Memory
from tests.schedules.mutations import MUTATIONS
from tests.schedules.world import World

STEPS = 160
SCHEDULES = 20_000
MAX_SCHEDULES_PER_MUTATION = 20_000


@contextmanager
def small_and_silent() -> Iterator[None]:
    """Few devices count as many, so that fan-outs are cut into pages here too; and nobody reads a million log lines."""
    with ExitStack() as patches:
        patches.enter_context(patch.object(change, "MAX_DIRECT_DEVICES", 2))
        patches.enter_context(patch.object(drain, "FAN_OUT_PAGE", 1))
        patches.enter_context(patch.object(drain, "FORGET_PAGE", 2))
        patches.enter_context(patch.object(log, "event", lambda *_, **__: None))
        yield


def schedule_in_memory(random: Random, *, steps: int = STEPS) -> World:
    """One schedule over tables in memory, played to its end."""
    memory = Memory()

    def write(pass_id: PassId, item: dict[str, object] | None) -> None:
        if item is None:
            memory.items.pop(pass_id)
        else:
            memory.items[pass_id] = dict(item)

    world = World(random, memory.store(), write)
    world.run(steps)
    return world


def first_loss(seeds: range, mutation: Any = None) -> tuple[int, str] | None:  # noqa: ANN401 - a patch
    """The first seed whose schedule loses an update, and what it loses."""
    with ExitStack() as patches:
        patches.enter_context(small_and_silent())
        if mutation is not None:
            patches.enter_context(mutation)
        for seed in seeds:
            if lost := schedule_in_memory(Random(seed)).lost():  # noqa: S311 - a schedule, no secret
                return seed, lost[0]
    return None


def say(line: str, end: str = "\n") -> None:
    sys.stdout.write(line + end)
    sys.stdout.flush()


def main() -> None:
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else SCHEDULES
    started = time.monotonic()
    loss = first_loss(range(schedules))
    say(
        f"as it is: {schedules} schedules of {STEPS} steps and their ends, {time.monotonic() - started:.0f} s: ", end=""
    )
    say("nothing lost" if loss is None else f"seed {loss[0]} loses: {loss[1]}")
    say("")
    say(f"{'guard broken':48} {'found in schedule':>17}  counterexample")
    for name, mutation in MUTATIONS.items():
        found = first_loss(range(MAX_SCHEDULES_PER_MUTATION), mutation())
        seed, example = found if found is not None else ("never", "")
        say(f"{name:48} {seed:>17}  {example}")


if __name__ == "__main__":
    main()
