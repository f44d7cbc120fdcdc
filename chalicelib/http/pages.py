"""Download links over HTTP: an iPhone gets the passes, any other client gets a page that shows them.

People open links in any browser, so every answer is a pass or a page, also for errors. The address of the page is a
secret. Therefore no answer is cached, indexed, framed or named to another site as referrer, and a page repeats nothing
of the request but a link that has been validated.

A browser that identifies itself as running on an iPhone gets the pass at once, or all passes of the link as one archive
(Apple, "Distributing and updating a pass"). `?download=N` gets the N-th pass from any client; the page's buttons send
it. `?image=1` gets the picture that messengers show beside a link. All others see the page.
"""

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING

from chalice.app import Request, Response

from chalicelib.core.links import PATH, LinkError
from chalicelib.http.api import header, query_parameter, web_service_url
from chalicelib.http.responses import PKPASS, PKPASSES, PNG, PRIVATE, html
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from chalicelib.flows.open_link import LinkedPass, OpenedLink
    from chalicelib.preview.link_pages import DeviceKind

MAX_ARCHIVE_BYTES = 4_500_000
"""Maximum of several passes together: as base64 they fit the 6 MB that Lambda takes for a response (Lambda quotas)."""


class Wanted(Enum):
    """A request for a link is for one of these; the values are in the log."""

    PASS = "pass"
    PAGE = "page"
    IMAGE = "image"


def wanted(request: Request) -> Wanted:
    """Decide what to answer with."""
    from chalicelib.preview.link_pages import DeviceKind

    if query_parameter(request, "image") is not None:
        return Wanted.IMAGE
    if query_parameter(request, "download") is not None:
        return Wanted.PASS
    return Wanted.PASS if _device(request) is DeviceKind.IPHONE else Wanted.PAGE


def number(request: Request) -> int | None:
    """Return the number of the wanted pass in the link, from 1; None for all. `?download` alone is the first.

    Raises:
        LinkError: it is another text.
    """
    given = query_parameter(request, "download")
    if query_parameter(request, "image") is not None:
        return 1
    if given is None:
        return None
    if given and not (given.isascii() and given.isdigit() and len(given) <= 2):  # noqa: PLR2004 - at most 10 passes
        raise LinkError
    return int(given or 1)


def answer(opened: "OpenedLink", token: str, *, settings: Settings, request: Request) -> Response:
    """Build the response with the passes or the page; `HEAD` gets all but the body."""
    what = wanted(request)
    response: Response | None = None
    if what is Wanted.IMAGE:
        response = _picture(opened)
    elif what is Wanted.PASS:
        response = _passes(opened.passes)
    if response is None:
        response = _page(opened, f"{web_service_url(settings, request)}{PATH}{token}", request, what)
    if request.method == "HEAD":
        response.body = b"" if isinstance(response.body, bytes) else ""
    return response


def languages(request: Request) -> Sequence[str]:
    """Return the languages of the reader, the favorite first."""
    from chalicelib.http.browsers import preferred_languages

    return preferred_languages(header(request, "accept-language") or "")


def _passes(passes: "Sequence[LinkedPass]") -> Response | None:
    """Build the response with one pass, or with all in one archive; None if they are too large for it.

    They are inline, because iPhones show them then. A browser that cannot show them saves the file.
    """
    if len(passes) == 1:
        return Response(passes[0].pkpass, headers={**_inline(PKPASS, "pass.pkpass"), **passes[0].validators.headers})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # stored: a pass is compressed
        for each in passes:
            archive.writestr(f"{each.number}.pkpass", each.pkpass)
    body = packed.getvalue()
    return Response(body, headers=_inline(PKPASSES, "passes.pkpasses")) if len(body) <= MAX_ARCHIVE_BYTES else None


def _picture(opened: "OpenedLink") -> Response:
    from chalicelib.preview import OpenedPass
    from chalicelib.preview.link_pages import link_image

    image = link_image(OpenedPass.read(opened.passes[0].pkpass, language="en"))
    if image is None:
        raise LinkError
    return Response(image, headers=_inline(PNG, "logo.png"))


def _page(opened: "OpenedLink", link: str, request: Request, what: Wanted) -> Response:
    from chalicelib.preview.link_pages import LinkPage

    page = LinkPage(
        passes=[(each.number, each.pkpass) for each in opened.passes],
        preferred=languages(request),
        device=_device(request),
        link=link,
        expires_at=datetime.fromtimestamp(opened.link.expires_at, UTC),
        granted=len(opened.link.pass_ids),
        too_large=what is Wanted.PASS,
    ).render()
    return html(HTTPStatus.OK, page.html, policy=page.policy)


def _device(request: Request) -> "DeviceKind":
    from chalicelib.http.browsers import device_of

    return device_of(header(request, "user-agent") or "")


def _inline(content_type: str, name: str) -> dict[str, str | list[str]]:
    return {**PRIVATE, "Content-Type": content_type, "Content-Disposition": f'inline; filename="{name}"'}
