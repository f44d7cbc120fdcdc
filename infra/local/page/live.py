"""Server-sent events: tells every open page which of its parts has changed, so that it loads that part again."""

import asyncio
from collections.abc import AsyncIterator


class Live:
    """Notifies open pages. `publish` may be called from any thread.

    Args:
        run: identity of this process; a page that sees another one reloads.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pages: set[_OpenPage] = set()

    @property
    def has_pages(self) -> bool:
        """True if a page is open."""
        return bool(self._pages)

    def start(self) -> None:
        """Use the running event loop."""
        self._loop = asyncio.get_running_loop()

    def publish(self, part: str) -> None:
        """Notify all pages of a change."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify, part)

    async def events(self) -> AsyncIterator[dict[str, str]]:
        """Yield events as sse-starlette takes them: first `run`, then the names of parts; equal ones are merged."""
        page = _OpenPage()
        self._pages.add(page)
        try:
            yield {"event": "run", "data": self._run}
            while True:
                for part in await page.changed():
                    yield {"event": part, "data": part}
        finally:
            self._pages.discard(page)

    def _notify(self, part: str) -> None:
        for page in self._pages:
            page.add(part)


class _OpenPage:
    def __init__(self) -> None:
        self._parts: dict[str, None] = {}
        self._waiting = asyncio.Event()

    def add(self, part: str) -> None:
        self._parts[part] = None
        self._waiting.set()

    async def changed(self) -> list[str]:
        await self._waiting.wait()
        self._waiting.clear()
        parts, self._parts = list(self._parts), {}
        return parts
