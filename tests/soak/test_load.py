"""The load of a soak does what phones can do."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import httpx

from chalicelib.core.identifiers import PassId
from infra.local.phones import GaveUpError, HeadlessPhone, PhonePass, Phones
from infra.local.run import LocalRun
from tests.soak.ledger import Ledger, Write
from tests.soak.load import Load
from tests.soak.plan import Plan, Step
from tests.soak.stage import SoakedStage

ADDS = 20


class QuietStage(SoakedStage):
    def __init__(self) -> None:
        self.written: list[PassId] = []

    def publishes(self, *, broken: bool = False) -> int:
        assert not broken
        return 1

    def puts_many(self, writes: Mapping[PassId, Write]) -> None:
        self.written += writes

    def token(self, pass_id: PassId) -> str:
        return f"token of {pass_id}"


class QuietPhones(Phones):
    """Phones whose calls succeed at once, except for one registration.

    Args:
        given_up: the number of the registration that is given up, from 1; 0 for none.
    """

    def __init__(self, *, given_up: int = 0) -> None:
        self.registered: list[HeadlessPhone] = []
        self.registrations = 0
        self._given_up = given_up

    async def download(self, phone: HeadlessPhone, held: PhonePass) -> None:
        assert phone
        assert held

    async def register_pass(self, phone: HeadlessPhone, held: PhonePass) -> None:
        assert held
        self.registrations += 1
        if self.registrations == self._given_up:
            raise GaveUpError
        self.registered.append(phone)


async def played(phones: Phones, *, passes: int, steps: Sequence[Step]) -> tuple[Load, Ledger]:
    """Have one phone add passes, then carry out steps at the same time."""

    async def unregister(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return httpx.Response(200)

    ledger, plan = Ledger(), Plan(1, 1, [], [], passes=passes, phones=1)
    stack = cast("LocalRun", SimpleNamespace(api_url="http://localhost", apns_control_url="http://localhost"))
    async with httpx.AsyncClient(transport=httpx.MockTransport(unregister)) as http:
        load = Load(plan, stack, QuietStage(), ledger, phones, http)
        await load.prepare()
        await asyncio.gather(*map(load.carry_out, steps))
    return load, ledger


def test_phone_that_is_uninstalled_adds_no_pass_any_more() -> None:
    """Both wait for their turn on a busy machine. APNs has unregistered the device, so it would never get a push."""
    phones = QuietPhones()
    steps = [Step(0, "uninstall", 0), *(Step(0, "add a pass to a phone", number) for number in range(ADDS))]
    _, ledger = asyncio.run(played(phones, passes=2, steps=steps))
    uninstalled = phones.registered[0]
    assert all(holding.phone is not uninstalled for holding in ledger.holdings())


def test_registration_that_is_given_up_does_not_keep_a_phone_from_registering_its_other_passes() -> None:
    """With a new push token, as Wallet does: APNs has unregistered the old one, so the device may be removed."""
    phones = QuietPhones(given_up=5)
    load, _ = asyncio.run(played(phones, passes=4, steps=[Step(0, "change a push token", 0)]))
    assert phones.registrations == 2 * 4
    assert load.done["change a push token: given up"] == 1
    assert len(load.unregistered) == 1
