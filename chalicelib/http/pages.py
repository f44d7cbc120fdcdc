"""A download link over HTTP, at the border: an iPhone gets the pass, everything else a page that shows it.

A link is opened by people, in whatever they have at hand, so every answer is a pass or a page, errors too. The address
is the secret, and so no answer is kept, indexed, framed, or named to another site; and nothing of the request stands in
one, but for a language and a link that was proved to be ours.

Who gets the pass at once: a browser that says that it runs on an iPhone, and whoever asks with `?download=1`, as
the page's button does. An iPad says that it is a Mac, and has no Wallet; Safari on a Mac can add passes; a view inside
another app (it names no `Safari`) cannot, though it is on an iPhone: all of these see the page and choose. So does
everybody where something in between rewrites `User-Agent`.
"""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from chalice.app import Request, Response

from chalicelib.core.links import PATH
from chalicelib.http.api import PKPASS, error_handler, header, query_parameter, web_service_url
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from chalicelib.flows.open_link import OpenedLink

_PRIVATE = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Vary": "User-Agent, Accept-Language",
}
_NOT_FRAMED = "; form-action 'none'; frame-ancestors 'none'"
"""What only a header can say (CSP Level 3, 3.3)."""
_LANGUAGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)")
"""The first language range (RFC 9110, section 12.5.4)."""
_NO_PASS = "The link may be incomplete or too old, or its pass may be gone. Ask whoever gave it to you for a new one."
_NOTICES = {
    HTTPStatus.NOT_FOUND: ("There is no pass at this link", _NO_PASS),
    HTTPStatus.GONE: ("There is no pass at this link", _NO_PASS),
    HTTPStatus.SERVICE_UNAVAILABLE: ("This is taking too long", "Open the link again in a minute."),
}
_OUR_FAULT = ("The pass cannot be made at the moment", "Its issuer has been told. Open the link again later.")
RETRY_AFTER_SECONDS = 60

handle_errors = error_handler(lambda _, status: _notice(status))
"""For people: a page that says why there is no pass."""


def wants_pass(request: Request) -> bool:
    """Whether the pass itself is the answer, not the page."""
    agent = header(request, "user-agent") or ""
    on_iphone = ("iPhone" in agent or "iPod" in agent) and "Safari/" in agent
    return on_iphone or query_parameter(request, "download") is not None


def answer(opened: "OpenedLink", token: str, *, settings: Settings, request: Request) -> Response:
    """The pass or the page; `HEAD` gets all but the body."""
    if wants_pass(request):
        # Inline, as iPhones show the pass then; a browser that cannot, stores the file all the same.
        named = {"Content-Type": PKPASS, "Content-Disposition": 'inline; filename="pass.pkpass"'}
        body = b"" if request.method == "HEAD" else opened.pkpass
        return Response(body, headers={**_PRIVATE, **named, **opened.validators.headers})
    from chalicelib.preview import link_page

    shown = link_page(
        opened.pkpass,
        language=_language(request),
        link=f"{web_service_url(settings, request)}{PATH}{token}",
        expires_at=datetime.fromtimestamp(opened.link.expires_at, UTC),
    )
    return _html(HTTPStatus.OK, "" if request.method == "HEAD" else shown.html, policy=shown.policy)


def _notice(status: HTTPStatus) -> Response:
    from chalicelib.preview import notice_page

    shown = notice_page(*_NOTICES.get(status, _OUR_FAULT))
    response = _html(status, shown.html, policy=shown.policy)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _html(status: HTTPStatus, html: str, *, policy: str) -> Response:
    return Response(
        html,
        status_code=status.value,
        headers={
            **_PRIVATE,
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy + _NOT_FRAMED,
        },
    )


def _language(request: Request) -> str:
    """The one that the browser names first."""
    found = _LANGUAGE.match(header(request, "accept-language") or "")
    return found[1] if found else "en"
