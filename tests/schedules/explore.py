"""Plays schedules. `python -m tests.schedules.explore` plays many and prints what each broken guard loses.

It writes `seeds.json`: for each broken guard the first seed whose schedule loses an update. The suite replays these, as
the search for some of them takes minutes.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random

from chalicelib.core.identifiers import PassId
from tests.schedules.conditions import violations
from tests.schedules.memory import Memory
from tests.schedules.mutations import FOCUS, MUTATIONS, broken
from tests.schedules.rates import Focus
from tests.schedules.world import World

STEPS = 160
SCHEDULES = 20_000
MAX_SCHEDULES_PER_MUTATION = 20_000
SEEDS = Path(__file__).with_name("seeds.json")


@contextmanager
def silent() -> Iterator[None]:
    """Discard the log lines."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield


def schedule_in_memory(random: Random, *, steps: int = STEPS, focus: Focus | None = None) -> World:
    """Play a schedule with tables in memory to its end."""
    memory = Memory()

    def write(pass_id: PassId, item: dict[str, object] | None) -> None:
        if item is None:
            memory.items.pop(pass_id)
        else:
            memory.items[pass_id] = dict(item)

    world = World(random, memory.store(), write, memory.timelines.clear, focus)
    world.run(steps)
    return world


Loss = tuple[int, str]
"""The first seed whose schedule loses an update, and that update."""


def first_loss(seeds: range, guard: str | None = None) -> Loss | None:
    """Find the loss of the first schedule among these seeds, with one broken guard or with none."""
    with ExitStack() as patches:
        patches.enter_context(silent())
        if guard is not None:
            patches.enter_context(broken(guard))
        for seed in seeds:
            world = schedule_in_memory(Random(seed), focus=FOCUS.get(guard or ""))  # noqa: S311 - a schedule, no secret
            if wrong := violations(world):
                return seed, wrong[0]
    return None


@dataclass(frozen=True)
class Explored:
    """The results of an exploration.

    Args:
        as_it_is: with all guards in place.
        broken: by the guard that was broken.
    """

    as_it_is: Loss | None
    broken: dict[str, Loss | None]


def explore(schedules: int) -> Explored:
    """Play schedules without mutation, and up to `MAX_SCHEDULES_PER_MUTATION` per guard, on all cores."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as processes:
        broken = {guard: processes.submit(first_loss, range(MAX_SCHEDULES_PER_MUTATION), guard) for guard in MUTATIONS}
        as_it_is = [processes.submit(first_loss, range(start, schedules, 4 * cores)) for start in range(4 * cores)]
        return Explored(
            as_it_is=min((loss for part in as_it_is if (loss := part.result())), default=None),
            broken={guard: found.result() for guard, found in broken.items()},
        )


def known_seeds() -> dict[str, int]:
    """For each guard, the seed of a schedule that loses an update without it, as the last search found it."""
    seeds: dict[str, int] = json.loads(SEEDS.read_text())
    return seeds


def on_progress(line: str, end: str = "\n") -> None:
    sys.stdout.write(line + end)
    sys.stdout.flush()


def main() -> None:
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else SCHEDULES
    started = time.monotonic()
    explored = explore(schedules)
    loss = explored.as_it_is
    said = "nothing lost" if loss is None else f"seed {loss[0]} loses: {loss[1]}"
    on_progress(f"as it is: {schedules} schedules of {STEPS} steps and their ends: {said}")
    on_progress("")
    on_progress(f"{'guard broken':48} {'found in schedule':>17}  counterexample")
    for guard, found in explored.broken.items():
        seed, example = found if found is not None else ("never", "")
        on_progress(f"{guard:48} {seed:>17}  {example}")
    seeds = {guard: found[0] for guard, found in explored.broken.items() if found is not None}
    SEEDS.write_text(json.dumps(seeds, indent=2) + "\n")
    on_progress(f"in {time.monotonic() - started:.0f} s; the seeds are in {SEEDS.name}")
    if loss is not None or len(seeds) < len(MUTATIONS):
        sys.exit(1)


if __name__ == "__main__":
    main()
