"""The load of a soak does what phones can do."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import httpx

from chalicelib.core.identifiers import PassId
from infra.local.phones import HeadlessPhone, PhonePass, Phones
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
    """Phones whose calls succeed at once."""

    def __init__(self) -> None:
        self.registered: list[HeadlessPhone] = []

    async def download(self, phone: HeadlessPhone, held: PhonePass) -> None:
        assert phone
        assert held

    async def register_pass(self, phone: HeadlessPhone, held: PhonePass) -> None:
        assert held
        self.registered.append(phone)


def test_phone_that_is_uninstalled_adds_no_pass_any_more() -> None:
    """Both wait for their turn on a busy machine. APNs has unregistered the device, so it would never get a push."""

    async def unregister(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return httpx.Response(200)

    async def play() -> tuple[Ledger, QuietPhones]:
        ledger, phones = Ledger(), QuietPhones()
        plan = Plan(1, 1, [], [], passes=2, phones=1)
        stack = cast("LocalRun", SimpleNamespace(api_url="http://localhost", apns_control_url="http://localhost"))
        async with httpx.AsyncClient(transport=httpx.MockTransport(unregister)) as http:
            load = Load(plan, stack, QuietStage(), ledger, phones, http)
            await load.prepare()
            steps = [Step(0, "uninstall", 0), *(Step(0, "add a pass to a phone", number) for number in range(ADDS))]
            await asyncio.gather(*map(load.carry_out, steps))
        return ledger, phones

    ledger, phones = asyncio.run(play())
    uninstalled = phones.registered[0]
    assert all(holding.phone is not uninstalled for holding in ledger.holdings())
