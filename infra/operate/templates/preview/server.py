"""Serves a preview on this machine while its files change: `template preview --watch`.

The server listens on 127.0.0.1 only. A page of another site could still reach it by a name that it resolves to that
address (DNS rebinding), so requests with another Host are refused.
"""

import asyncio
import hashlib
import html as escaping
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import uvicorn
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from chalicelib.core.errors import RefusedError
from infra.operate.templates.preview.document import Document

HOST = "127.0.0.1"
POLL_SECONDS = 0.3
GRACE_SECONDS = 1
_NOTHING = "default-src 'none'"


def version_of(paths: Iterable[Path]) -> str:
    """Return a text that changes when a file below these paths is written, added or removed.

    What is removed while it is read counts as absent: a folder may be moved or replaced at any moment.
    """
    digest = hashlib.sha256()
    for top in paths:
        # os.walk, unlike Path.rglob, raises nothing for a deleted folder
        below = [Path(parent, name) for parent, folders, files in os.walk(top) for name in (*folders, *files)]
        for path in [top, *sorted(below)]:
            try:
                status = path.stat()
            except OSError:
                continue
            digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def watching(draw: Callable[[str], Document], version: Callable[[], str]) -> Starlette:
    """Return the application.

    Args:
        draw: draws the page of a version of the files.
        version: returns the current version of the files.
    """

    async def page(_: Request) -> Response:
        current = version()
        try:
            document = await asyncio.to_thread(draw, current)
        except (RefusedError, OSError) as problem:
            return _answer(_problem(str(problem), current), _NOTHING)
        return _answer(document.html, document.policy)

    async def changes(request: Request) -> Response:
        since = request.query_params.get("since", "")

        async def events() -> AsyncIterator[ServerSentEvent]:
            while version() == since:  # noqa: ASYNC110 - the file system sends no events
                await asyncio.sleep(POLL_SECONDS)
            yield ServerSentEvent(event="changed", data="")

        return EventSourceResponse(events())

    return Starlette(
        routes=[Route("/", page), Route("/changes", changes)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)],
    )


def serve(app: Starlette, on_ready: Callable[[str], None]) -> None:
    """Serve the application on a free port until the process is interrupted.

    Args:
        app: the application.
        on_ready: called with the URL.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, 0))
        listener.listen()
        on_ready(f"http://{HOST}:{listener.getsockname()[1]}/")
        config = uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)
        uvicorn.Server(config).run(sockets=[listener])


def _answer(page: str, policy: str) -> HTMLResponse:
    return HTMLResponse(
        page.encode("utf-8", "replace"),
        headers={
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _problem(text: str, version: str) -> str:
    """Return a page for a folder that cannot be read, which asks for changes by itself every second."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="1">'
        f'<title>preview</title></head><body data-version="{version}"><h1>Nothing to show</h1>'
        f"<p>{escaping.escape(text)}</p></body></html>"
    )
