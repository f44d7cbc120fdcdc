"""Open pages are notified of changed parts."""

import asyncio

from infra.local.page.live import Live


def test_page_learns_the_run_first_and_then_each_changed_part_once() -> None:
    async def play() -> list[str]:
        live = Live("r1")
        live.start()
        events = live.events()
        run = await anext(events)
        assert live.has_pages
        for part in ("timeline", "phone-1", "timeline"):
            await asyncio.to_thread(live.publish, part)
        await asyncio.sleep(0)
        return [run["data"], *[(await anext(events))["event"] for _ in range(2)]]

    assert asyncio.run(play()) == ["r1", "timeline", "phone-1"]


def test_page_that_was_closed_is_forgotten() -> None:
    async def play() -> bool:
        live = Live("r1")
        live.start()
        events = live.events()
        await anext(events)
        await events.aclose()  # type: ignore[attr-defined]  # a generator
        return live.has_pages

    assert asyncio.run(play()) is False


def test_publishing_without_a_server_does_nothing() -> None:
    Live("r1").publish("phones")
