"""Pictures of a pass: its front as phones show it, its back, and the pages that contain them.

It is for previews of templates, for download links and for the simulated phone. A designer checks positions, colors,
texts in a language, images and the barcode by it; docs/guides/templates.md lists what differs from Wallet. The texts of
a pass are not trusted: the template engine escapes them, colors are parsed, and the Content-Security-Policy of a page
allows only its own styles, scripts and images. So nothing in a pass can become markup.

Entry points:
- `page`: a whole page with front and back of a `.pkpass`.
- `cards_of` and `stylesheet`, `script`: the parts, for a page with several passes or languages. The page sets its own
  policy with the sources of `source_of`.
- `link_page` and `notice_page`: the pages of download links.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalicelib.preview.barcodes import qr_code
from chalicelib.preview.faces import since
from chalicelib.preview.opened import OpenedPass, OpenedPassError
from chalicelib.preview.views import View, views_of

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "Card",
    "OpenedPass",
    "OpenedPassError",
    "PreviewPage",
    "cards_of",
    "link_page",
    "notice_page",
    "notification_of",
    "page",
    "script",
    "source_of",
    "stylesheet",
]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """An HTML page and its policy.

    Args:
        html: the whole page.
        policy: its Content-Security-Policy, which the page contains too.
    """

    html: str
    policy: str


@dataclass(frozen=True, slots=True)
class Card:
    """One face of a pass, drawn.

    Args:
        view: its values.
        since: first version of iOS that shows this face; 0 for all.
        front: HTML of the front, at most 358 pixels wide.
        back: HTML of the back.
    """

    view: View
    since: int
    front: str
    back: str

    @property
    def css(self) -> str:
        """The rule with the colors of this card, which a page adds to `stylesheet`."""
        return self.view.palette.css

    @property
    def surplus(self) -> Sequence[str]:
        """Paths of the fields that phones do not show on this face, such as `coupon.secondaryFields[4]`."""
        return self.view.surplus


def cards_of(opened: OpenedPass, *, at: datetime | None = None) -> list[Card]:
    """Draw the faces of a pass, that of the newest phones first; older phones show the next one that they know.

    Args:
        opened: the pass.
        at: current time with time zone, by which a pass has expired; None for the clock's.
    """
    macros: Any = _environment().get_template("card.html").module
    return [
        Card(view, since(view.face, opened.content), str(macros.front(view)), str(macros.back(view)))
        for view in views_of(opened, at=at)
    ]


def notification_of(opened: OpenedPass, pieces: Sequence[object]) -> str:
    """Return the HTML of a notification on the lock screen.

    Args:
        opened: the pass after its change.
        pieces: parts of the message: texts, and fields whose values are shown.
    """
    macros: Any = _environment().get_template("card.html").module
    return str(macros.notification(views_of(opened)[0], pieces))


@cache
def stylesheet() -> str:
    """Return the styles of cards, without their colors."""
    return (_FOLDER / "card.css").read_text()


@cache
def script() -> str:
    """Return the script that formats dates and numbers on cards and shrinks long texts."""
    return (_FOLDER / "card.js").read_text()


def source_of(text: str) -> str:
    """Return the source expression of an inline style or script in a policy (CSP Level 3, section 2.3.1)."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def page(pkpass: bytes, *, language: str) -> str:
    """Return the HTML page of a pass.

    Args:
        pkpass: the archive that Wallet would get; its signature is not verified.
        language: the viewer's language, such as `de` or `zh-Hans`.

    Raises:
        OpenedPassError: the archive is not a pass.
    """
    return _page("page.html", ("page.css",), views_of(OpenedPass.read(pkpass, language=language))[0]).html


def link_page(pkpass: bytes, *, language: str, link: str, expires_at: datetime) -> PreviewPage:
    """Return the page of a download link: the pass, a button to add it, and a QR code to open the link on a phone.

    Args:
        pkpass: the archive that Wallet would get.
        language: the viewer's language.
        link: URL of the page.
        expires_at: time of expiry of the link, in UTC.

    Raises:
        OpenedPassError: the archive is not a pass.
    """
    seen = views_of(OpenedPass.read(pkpass, language=language))[0]
    return _page("link.html", ("page.css", "link.css"), seen, qr=qr_code(link), expires_at=expires_at)


def notice_page(heading: str, text: str) -> PreviewPage:
    """Return a page that explains why there is no pass."""
    style = (_FOLDER / "link.css").read_text()
    policy = f"default-src 'none'; style-src {source_of(style)}; base-uri 'none'"
    template = _environment().get_template("notice.html")
    return PreviewPage(template.render(heading=heading, text=text, style=style, policy=policy), policy)


def _page(template: str, styles: Iterable[str], seen: View, **more: object) -> PreviewPage:
    style = stylesheet() + seen.palette.css + "".join((_FOLDER / name).read_text() for name in styles)
    policy = (
        f"default-src 'none'; img-src data:; style-src {source_of(style)}; script-src {source_of(script())}; "
        "base-uri 'none'"
    )
    html = (
        _environment()
        .get_template(template)
        .render(seen=seen, style=style, script=script(), policy=policy, language=seen.opened.language, **more)
    )
    return PreviewPage(html, policy)


@cache
def _environment() -> "Environment":
    """Return the template engine, which keeps parsed templates for the lifetime of the process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
