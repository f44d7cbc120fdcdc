"""`passwire phones`: many headless phones hold one pass, which changes once; measures when each phone shows that.

`phones.py` has the phones. The pass is a new one and is deleted at the end, which removes its registrations.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.core.identifiers import PassId
from infra.local.phones import HeadlessPhone, PhoneCounts, Phones, Shown
from infra.local.run import LocalRun
from infra.stage import aws
from infra.stage.stage import Stage

FIELD = "gate"
BEFORE, AFTER = "A7", "B22"
BATCH = 100
CONNECTIONS = 8
"""Requests of all phones at the same time; others wait. The embedded AWS starts a process for each of them."""
QUIET_SECONDS = 60.0
"""How long no phone may show the change until the others count as lost."""
TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class HeadlessReport:
    """Result for all phones.

    Args:
        phones: how many registered.
        register_seconds: how long that took in total.
        shown: how many show the change.
        latencies: seconds from the write to the phone that shows it, in ascending order.
        counts: of all requests.
    """

    phones: int
    register_seconds: float
    shown: int
    latencies: Sequence[float]
    counts: PhoneCounts

    @property
    def lost(self) -> int:
        """How many phones never showed the change."""
        return self.phones - self.shown

    def latency(self, share: float) -> float | None:
        """Return the time after which a share of the phones, from 0 to 1, showed the change; None if fewer did."""
        index = max(0, round(share * self.phones) - 1)
        return self.latencies[index] if index < len(self.latencies) else None


def measure(stack: LocalRun, count: int, *, on_progress: Callable[[str], None]) -> HeadlessReport:
    """Register phones, change their pass, and wait until all show it or no more do.

    Args:
        stack: the local run.
        count: how many phones.
        on_progress: called with each line of progress.

    Raises:
        GaveUpError: a phone could not register.
    """
    stack.use()
    passes = aws.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = PassId(stack.pass_type_identifier, f"PHONES-{secrets.token_hex(3).upper()}")
    try:
        return asyncio.run(_measure(stack, passes, pass_id, count, on_progress))
    finally:
        passes.delete_item(Key={"pass_id": str(pass_id)})


async def _measure(
    stack: LocalRun,
    passes: Any,  # noqa: ANN401 - a boto3 table
    pass_id: PassId,
    count: int,
    on_progress: Callable[[str], None],
) -> HeadlessReport:
    def write(gate: str) -> float:
        item = {"pass_id": str(pass_id), "template": stack.template, "fields": {FIELD: gate}}
        passes.put_item(Item=item)
        return time.time()

    write(BEFORE)
    token = Stage.open(stack.stage).secrets.authentication_keys().issue(pass_id, item_token=None).value
    phones = [HeadlessPhone.holding({pass_id: token}) for _ in range(count)]
    shown_at: dict[str, float] = {}

    def on_shown(shown: Shown) -> None:
        if AFTER in str(shown.content):
            shown_at.setdefault(shown.phone.device_library_identifier, shown.at)

    async with Phones.running(
        phones,
        api_url=stack.api_url,
        apns_control_url=stack.apns_control_url,
        on_shown=on_shown,
        connections=CONNECTIONS,
    ) as population:
        start = time.perf_counter()
        for first in range(0, count, BATCH):
            await population.register(phones[first : first + BATCH], at_once=CONNECTIONS)
            on_progress(f"registered {min(first + BATCH, count):,} of {count:,} phones")
        register_seconds = time.perf_counter() - start
        await population.settle()
        written_at = await asyncio.to_thread(write, AFTER)
        on_progress(f"changed {pass_id}")
        await _until_quiet(shown_at, count, on_progress)
        latencies = sorted(at - written_at for at in shown_at.values())
        return HeadlessReport(count, register_seconds, len(shown_at), latencies, population.counts)


async def _until_quiet(shown_at: dict[str, float], count: int, on_progress: Callable[[str], None]) -> None:
    """Wait until all phones show the change, or none has for `QUIET_SECONDS`."""
    seen, last = 0, time.monotonic()
    while len(shown_at) < count and time.monotonic() - last < QUIET_SECONDS:
        await asyncio.sleep(TICK_SECONDS)
        if len(shown_at) // BATCH != seen // BATCH:
            on_progress(f"{len(shown_at):,} of {count:,} phones show it")
        if len(shown_at) != seen:
            seen, last = len(shown_at), time.monotonic()
