"""Headless phones register with the local run, and show a change after its pushes."""

import asyncio
import secrets

import pytest

from chalicelib.core.identifiers import PassId
from infra.core.phone_retries import Retries
from infra.local.phones import HeadlessPhone, Phones, Shown
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline

PATIENCE_SECONDS = 90.0
COUNT = 12


@pytest.fixture
def shared(pipeline: Pipeline) -> PassId:
    return pipeline.writes(f"SHARED-{secrets.token_hex(4)}", fields={"gate": "A1"})


def test_each_phone_shows_the_change_of_a_shared_pass(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, shared: PassId
) -> None:
    token = issuer.token(shared)
    phones = [HeadlessPhone.holding({shared: token}) for _ in range(COUNT)]
    stranger = HeadlessPhone.holding({shared: token})
    updated: set[str] = set()

    async def play() -> None:
        complete = asyncio.Event()

        def show(shown: Shown) -> None:
            (gate,) = shown.content["boardingPass"]["headerFields"]
            if gate["value"] == "B2":
                updated.add(shown.phone.push_token)
            if len(updated) == COUNT:
                complete.set()

        everyone = [*phones, stranger]
        running = Phones.running(
            everyone,
            api_url=stack.api_url,
            apns_control_url=stack.apns_control_url,
            on_shown=show,
            retries=Retries(first_delay_seconds=0.2),
        )
        async with running as population, asyncio.timeout(PATIENCE_SECONDS):
            await population.register(phones)
            pipeline.writes(shared.serial_number, fields={"gate": "B2"})
            await complete.wait()
            await population.settle()
            assert (population.counts.wrong, population.counts.gave_up) == (0, 0)

    asyncio.run(play())
    assert updated == {phone.push_token for phone in phones}
    assert all(phone.tags for phone in phones)
