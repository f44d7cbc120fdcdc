"""The tables in memory answer as DynamoDB does, so that results with one apply to the other."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import Device
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.updates.events import EventNote
from chalicelib.updates.fan_outs import FanOutProgress
from chalicelib.updates.protocol import RecheckRequest, RecheckStamp, Refusal
from infra.local.run import LocalRun
from tests.schedules.memory import Memory
from tests.schedules.tables import ScratchTables

PASSES = [PassId("pass.com.example", f"P{n}") for n in range(3)]
DEVICES = [DeviceLibraryIdentifier(f"device-{n}") for n in range(3)]
TOKENS = [PushToken(f"token-{n}") for n in range(2)]
REQUESTS = 40


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_tables_in_memory_answer_as_dynamodb_does(stack: LocalRun, random: Random) -> None:
    assert stack
    hold_against_dynamodb(random)


def hold_against_dynamodb(random: Random) -> None:
    """Send the same random requests to both, and compare the answers. The environment names the DynamoDB."""
    memory = Memory()
    with ScratchTables() as tables:
        both = (memory.store(), tables.store())
        for number in range(REQUESTS):
            call = _some_call(random, number)
            if call[0] == "write":
                pass_id, item = call[1]
                tables.write(pass_id, item)
                if item is None:
                    memory.items.pop(pass_id, None)
                else:
                    memory.items[pass_id] = dict(item)
            else:
                answers = [_carry_out(store, *call) for store in both]
                assert answers[0] == answers[1], call


def _carry_out(store: Store, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> object:
    table, method = name.split(".")
    if name == "devices.remove":  # its argument is a row that was read before
        device = store.devices.get(arguments[0])
        if device is None:
            return None
        if options["meanwhile"]:
            store.registrations.refresh(arguments[0], PASSES[0], push_token=TOKENS[0], at=options["at"])
        return store.devices.remove(device)
    answer = getattr(getattr(store, table), method)(*arguments, **options)
    return sorted(answer, key=str) if isinstance(answer, list) else answer


def _some_call(random: Random, number: int) -> tuple[Any, ...]:
    pass_id, device, token = random.choice(PASSES), random.choice(DEVICES), random.choice(TOKENS)
    at = 1000 + number + random.choice([0, 0.25])
    stamp = {
        "changes": random.choice([1, 3]),
        "deleted": random.random() < 0.3,
        "record": random.choice(["", "", "r1", f"r{number}"]),
        "recheck": random.choice([None, None, RecheckStamp(f"message-{number}", number)]),
    }
    begun = FanOutProgress(random.choice([1000, 1010]), "", "", "m", 5)
    gone_on = replace(begun, reached="device-1", done=random.random() < 0.5)
    known = Device(device, token, 0)
    refusal = Refusal(f"reason {number}", random.choice(["t", ""]), number)
    item = {"pass_id": str(pass_id), "template": "t", "authentication_token": "0" * 16, "own": number}
    calls: list[tuple[Any, ...]] = [
        ("write", (pass_id, random.choice([item, item, None]))),
        ("passes.for_authorization", (pass_id,), {}),
        ("passes.for_download", (pass_id,), {}),
        ("passes.personalize", (pass_id, {"fullName": "Ada"}), {}),
        ("passes.content", (pass_id,), {}),
        ("versions.get", (pass_id,), {}),
        ("versions.state", (pass_id,), {}),
        ("versions.refused", (PASSES,), {}),
        ("versions.record_refusal", (pass_id, refusal), {"changes": random.choice([0, 1, 2])}),
        ("versions.request_recheck", (pass_id, RecheckRequest(number, random.choice([0, 1000]))), {}),
        ("versions.stamp_at", (pass_id,), {"now": random.choice([1000, 1010, 1000 + number]), **stamp}),
        ("versions.stamp_next", (pass_id,), stamp),
        ("registrations.create", (device, pass_id), {"push_token": token, "at": at}),
        ("registrations.create", (device, pass_id), {"push_token": token, "at": at, "wallet": Wallet.PASS2U}),
        (
            "registrations.refresh",
            (device, pass_id),
            {"push_token": token, "at": at, "wallet": random.choice([*Wallet])},
        ),
        ("registrations.delete", (device, pass_id), {"registered_at": random.choice([None, 1000 + number - 1])}),
        (
            "registrations.page",
            (pass_id,),
            {"after": random.choice([None, *DEVICES]), "limit": random.choice([1, 2, 10])},
        ),
        ("devices.get", (device,), {}),
        ("devices.held_passes", (device, PASSES), {}),
        ("devices.with_push_tokens", (DEVICES,), {}),
        ("devices.delete_if_empty", (device,), {}),
        ("devices.mark_rejected", (known,), {"at": at}),
        ("devices.clear_rejected", (known,), {}),
        ("versions.fan_out_state", (pass_id,), {}),
        ("versions.advance_fan_out", (pass_id,), {"before": random.choice([None, begun]), "after": gone_on}),
        ("versions.advance_fan_out", (pass_id,), {"before": None, "after": begun}),
        ("versions.note_delivery", ("client",), {"at": at}),
        (
            "versions.note_event",
            (random.choice([EventNote("a", "b", {"n": number}), EventNote("a", "", {})]),),
            {"at": at, "interval_seconds": random.choice([0, 2, 3600])},
        ),
        ("versions.last_delivery", (random.choice(["client", "another"]),), {}),
        ("timelines.take_now", ({"stage": 7},), {"now": random.choice([1000, 1000 + number])}),
        ("timelines.take_now", ({"narrow": 9, "stage": 8},), {"now": random.choice([1000, 1000 + number])}),
        ("timelines.take_next", ("stage",), {"cost": 5, "free_by": random.choice([None, 1000 + number])}),
        ("timelines.take_next", (random.choice(["narrow", "wide"]),), {"cost": 5}),
        ("devices.remove", (device,), {"meanwhile": random.random() < 0.5, "at": at}),
    ]
    return random.choice(calls)
