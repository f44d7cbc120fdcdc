"""Protects the page from other sites in the same browser, and its visitor from what passes and devices contain.

- The Host header must name this server: a site whose name resolves to 127.0.0.1 (DNS rebinding) is refused.
- A POST must come from the page itself: browsers name the origin of every POST (Fetch Standard, "Origin" header).
- The Content-Security-Policy allows only the page's own files, no inline script or style, and no other host.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Middleware.

    Args:
        app: what it protects.
        port: of the server.
    """

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.update(HEADERS)
                sent.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self.refusal(scope["method"], headers)
        if refusal:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def refusal(self, method: str, headers: Headers) -> str:
        """Return why a request is refused; empty if it is not."""
        if headers.get("host") not in self._hosts:
            return "this server answers to 127.0.0.1 and localhost only"
        if method in SAFE_METHODS:
            return ""
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return "the request comes from another site"
        if origin is None and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "the request comes from another site"
        return ""
