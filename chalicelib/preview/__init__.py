"""Pictures of a pass: its front as phones show it, its back, and the pages that contain them.

It is for previews of templates, for download links and for the simulated phone. A designer checks positions, colors,
texts in a language, images and the barcode by it; docs/guides/templates.md lists what differs from Wallet. The texts of
a pass are not trusted: the template engine escapes them, colors are parsed, and the Content-Security-Policy of a page
allows only its own styles, scripts and images. So nothing in a pass can become markup.

Entry points:
- `page`: a whole page with front and back of a `.pkpass`.
- `cards_of`, `notification_html`, `stylesheet` and `script`: the parts, for a page with several passes or languages.
  Such a page contains the styles, each card's `css` and, at its end, the script; `source_of` allows them in its policy.
- `link_pages`: the pages of download links.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chalicelib.preview.faces import since
from chalicelib.preview.notifications import notification_between
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
    "notification_html",
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
    macros: Any = environment().get_template("card.html").module
    return [
        Card(view, since(view.face, opened.content), str(macros.front(view)), str(macros.back(view)))
        for view in views_of(opened, at=at)
    ]


def notification_html(before: OpenedPass, after: OpenedPass) -> str:
    """Return the HTML of the notification that a phone shows about an update; empty if it shows none.

    Args:
        before: the pass on the phone.
        after: the downloaded pass, in the same language.
    """
    notification = notification_between(before, after)
    macros: Any = environment().get_template("card.html").module
    return str(macros.notification(views_of(after)[0], notification.pieces)) if notification is not None else ""


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
    seen = views_of(OpenedPass.read(pkpass, language=language))[0]
    style = stylesheet() + seen.palette.css + (_FOLDER / "page.css").read_text()
    policy = (
        f"default-src 'none'; img-src data:; style-src {source_of(style)}; script-src {source_of(script())}; "
        "base-uri 'none'"
    )
    template = environment().get_template("page.html")
    return template.render(seen=seen, style=style, script=script(), policy=policy)


@cache
def environment() -> "Environment":
    """Return the template engine, which keeps parsed templates for the lifetime of the process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
