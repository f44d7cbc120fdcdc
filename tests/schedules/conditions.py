"""The conditions that hold when a schedule has settled: no update lost, no rate exceeded, no change denied."""

from collections import defaultdict

from chalicelib.core.identifiers import PassId
from chalicelib.updates.pacing import LATENESS_SECONDS, Lane
from chalicelib.updates.protocol import Tag
from tests.schedules.actors import Phone
from tests.schedules.limits import FOREVER, PASS_TYPE
from tests.schedules.world import World


def violations(world: World) -> list[str]:
    """Everything that went wrong; empty if nothing did."""
    return lost(world) + too_fast(world) + world.api.denied


def lost(world: World) -> list[str]:
    """The updates that phones lack although they follow the protocol; empty if none is lost."""
    found = []
    held: dict[Phone, list[PassId]] = defaultdict(list)
    for phone in world.phones:
        for pass_id in phone.wanted & set(world.pipeline.items):
            if phone.registered_tokens.get(pass_id) != phone.push_token:
                continue
            held[phone].append(pass_id)
            newest = world.pipeline.written_at[pass_id]
            if phone.content.get(pass_id) != newest:
                found.append(
                    f"{phone.push_token.value} has {pass_id} as of write {phone.content.get(pass_id)}, not {newest}"
                )
    for handed in world.phone_calls.handed_out:
        due = {p for p in held[handed.phone] if world.pipeline.written_at[p] > handed.writes}
        if not due:
            continue
        named = _list_quietly(world, handed.phone, handed.tag)
        found.extend(f"{p} is not named to tag {handed.tag} of before its change" for p in sorted(due - named))
    return found


def too_fast(world: World) -> list[str]:
    """The periods in which more devices were notified than `updates/pacing.py` allows."""
    rate, times = world.scheduler.rates.push, sorted(world.apns.pushed_at)
    one_send = world.apns.largest_send
    for first, start in enumerate(times):
        for last in range(first + one_send, len(times)):
            lost = sum(start - LATENESS_SECONDS <= at <= times[last] for at in world.timelines_lost_at)
            burst = LATENESS_SECONDS + 2 * world.scheduler.rates.skew + lost * Lane.NARROW.patience_seconds
            allowed = rate * (times[last] - start + burst) + (2 + lost) * one_send
            if last - first + 1 > allowed:
                return [f"{last - first + 1} devices notified in {times[last] - start:.1f} s at {rate} per second"]
    return []


def _list_quietly(world: World, phone: Phone, tag: str) -> set[PassId]:
    named: set[PassId] = set()

    def body() -> None:
        with world.api.in_environment() as environment:
            listing = environment.lister.list_changed(
                device=phone.identifier, pass_type_identifier=PASS_TYPE, tag=Tag.parse(tag), now=world.scheduler.clock()
            )
        named.update(PassId(PASS_TYPE, s) for s in (listing.serial_numbers if listing else ()))

    world.scheduler.start("list", body, lambda _: None, FOREVER)
    while world.scheduler.actors:
        world.scheduler.go_on()
    return named
