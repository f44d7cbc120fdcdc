"""Download links over HTTP: an iPhone gets the pass, any other client gets a page that shows it.

People open links in any browser, so every answer is a pass or a page, also for errors. The address of the page is a
secret. Therefore no answer is cached, indexed, framed or named to another site as referrer, and a page repeats nothing
of the request but its language and a link that has been validated.

Two kinds of clients get the pass at once: a browser that identifies itself as running on an iPhone, and a request with
`?download=1`, which the page's button sends. All others see the page and choose: an iPad identifies itself as a Mac and
has no Wallet; Safari on a Mac can add passes; a web view in another app (it does not name `Safari`) cannot add them,
even on an iPhone. A client whose `User-Agent` is rewritten on the way sees the page, too.
"""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from chalice.app import Request, Response

from chalicelib.core.links import PATH
from chalicelib.http.api import header, query_parameter, web_service_url
from chalicelib.http.responses import PKPASS, PRIVATE, html
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from chalicelib.flows.open_link import OpenedLink

_LANGUAGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)")
"""The first language range (RFC 9110, section 12.5.4)."""


def wants_pass(request: Request) -> bool:
    """Decide whether to answer with the pass itself (True) or with the page."""
    agent = header(request, "user-agent") or ""
    on_iphone = ("iPhone" in agent or "iPod" in agent) and "Safari/" in agent
    return on_iphone or query_parameter(request, "download") is not None


def answer(opened: "OpenedLink", token: str, *, settings: Settings, request: Request) -> Response:
    """Build the response with the pass or the page; `HEAD` gets all but the body."""
    if wants_pass(request):
        # Inline, because iPhones show the pass then. A browser that cannot show it saves the file.
        pass_headers = {"Content-Type": PKPASS, "Content-Disposition": 'inline; filename="pass.pkpass"'}
        body = b"" if request.method == "HEAD" else opened.pkpass
        return Response(body, headers={**PRIVATE, **pass_headers, **opened.validators.headers})
    from chalicelib.preview import link_page

    page = link_page(
        opened.pkpass,
        language=_language(request),
        link=f"{web_service_url(settings, request)}{PATH}{token}",
        expires_at=datetime.fromtimestamp(opened.link.expires_at, UTC),
    )
    return html(HTTPStatus.OK, "" if request.method == "HEAD" else page.html, policy=page.policy)


def _language(request: Request) -> str:
    """Return the language that the browser names first, `en` if it names none."""
    found = _LANGUAGE.match(header(request, "accept-language") or "")
    return found[1] if found else "en"
