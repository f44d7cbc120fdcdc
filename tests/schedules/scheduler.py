"""Decides which actor makes the next step, whether its request fails, and when it ends."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from greenlet import greenlet

from chalicelib.core.errors import TransientError
from chalicelib.flows.change import Settle
from chalicelib.updates.changes import Entry
from tests.schedules.actors import Actor, Crash
from tests.schedules.rates import Rates


class Scheduler:
    """The actors, their clock, and the choice of the one that continues.

    Args:
        random: decides; hypothesis can hand in one that it controls.
        rates: how often each kind of event happens.
    """

    def __init__(self, random: Random, rates: Rates) -> None:
        self.random = random
        self.rates = rates
        self.now = 1_700_000_000.0
        self.calm = False
        """True while no request fails and no actor is disturbed."""
        self.steps = 0
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.last_request_failed = False

    def clock(self) -> float:
        """The clock of the current actor's machine, epoch seconds."""
        return self.now + (self.current.skew if self.current else 0.0)

    def timer(self) -> float:
        """The monotonic clock of the current actor's execution environment."""
        assert self.current is not None
        assert self.current.environment is not None
        return self.now - self.current.environment.stopped

    def start(self, name: str, body: Callable[[], None], ended: Callable[[bool], None], seconds: float) -> None:
        skew = self.random.uniform(-self.rates.skew, self.rates.skew)
        self.actors.append(Actor(name, body, ended, self.now + seconds, skew))

    def step(self) -> None:
        """Stop here; the scheduler chooses the actor that continues."""
        actor = self.current
        assert actor is not None
        scheduler = greenlet.getcurrent().parent
        assert scheduler is not None
        scheduler.switch()

    def request(self, carry_out: Callable[[], object], error: type[TransientError]) -> object:
        """Make a request, which may fail before or after it took effect."""
        self.step()
        self.last_request_failed = True
        if self.fails():
            raise error("the world fails it before it took effect")
        result = carry_out()
        if self.fails():
            raise error("the world fails it after it took effect")
        self.last_request_failed = False
        if not self.calm and self.random.random() < self.rates.late:
            self.step()
        return result

    def fails(self) -> bool:
        return not self.calm and self.random.random() < self.rates.fail

    def sleep(self, seconds: float) -> None:
        assert self.current is not None
        self.current.wakes_at = self.now + seconds
        self.step()

    def overlapped(self, settle: Settle, entries: Sequence[Entry]) -> list[Any]:
        """Run the parts of a batch as threads do: each is an actor that ends with its invocation."""
        invocation = self.current
        assert invocation is not None
        results: list[Any] = [None] * len(entries)
        left = [len(entries)]
        crashed = [False]

        def part(number: int) -> Actor:
            def body() -> None:
                results[number] = settle(entries[number])

            def ended(died: bool) -> None:  # noqa: FBT001
                left[0] -= 1
                crashed[0] = crashed[0] or died

            return Actor("part of a batch", body, ended, invocation.dies_at, invocation.skew)

        invocation.parts = [part(number) for number in range(len(entries))]
        self.actors += invocation.parts
        while left[0]:
            self.step()
        if crashed[0]:
            raise Crash
        return results

    def go_on(self) -> None:
        """Let one actor make one step; actors whose time is over end."""
        for actor in [actor for actor in self.actors if actor.dies_at <= self.now]:
            self.end(actor, crashed=True)
        awake = [actor for actor in self.actors if actor.wakes_at <= self.now]
        if self.calm and self.actors and not awake:
            self.now = min(actor.wakes_at for actor in self.actors)
            awake = [actor for actor in self.actors if actor.wakes_at <= self.now]
        if awake:
            actor = self.random.choice(awake)
            self.current = actor
            try:
                actor.greenlet.switch()
            except TransientError:
                self.end(actor, crashed=True)
            except Crash:  # of a part of the batch
                self.end(actor, crashed=True)
            else:
                if actor.greenlet.dead:
                    self.end(actor, crashed=False)
            finally:
                self.current = None

    def end(self, actor: Actor, *, crashed: bool) -> None:
        if actor not in self.actors:
            return
        self.actors.remove(actor)
        for part in actor.parts:
            self.end(part, crashed=crashed)
        if not actor.greenlet.dead and actor.greenlet:
            self.current = actor
            try:
                actor.greenlet.throw(Crash)
            except Crash:
                pass
            finally:
                self.current = None
        actor.ended(crashed)
