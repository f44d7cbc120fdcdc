"""A picture of a pass: a built `.pkpass` as one HTML page, front and back, that loads nothing from anywhere.

For `template preview`, the demo and the pages that hand passes out. It shows what a designer must see (places, colours,
texts in a language, images, the barcode as a scanner reads it), not Wallet's fonts to the pixel. A pass is other
people's text: everything is escaped by the template engine, colours are parsed, and the page forbids itself every
style, script and image but its own (Content-Security-Policy), so that nothing in a pass can become markup.
"""

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from chalicelib.preview.barcodes import qr_code
from chalicelib.preview.opened import OpenedPass, OpenedPassError
from chalicelib.preview.views import View, view

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["OpenedPassError", "PreviewPage", "link_page", "notice_page", "page"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """A page and what it may do.

    Args:
        html: the whole page.
        policy: its Content-Security-Policy, which stands in the page too.
    """

    html: str
    policy: str


def page(pkpass: bytes, *, language: str) -> str:
    """The HTML page of a pass.

    Args:
        pkpass: as Wallet gets it; its signature is not looked at.
        language: of the person who looks, as `de` or `zh-Hans`; the pass's own texts where it has none in it.

    Raises:
        OpenedPassError: it is no pass.
    """
    return _page("page.html", ("page.css",), view(OpenedPass.read(pkpass, language=language))).html


def link_page(pkpass: bytes, *, language: str, link: str, expires_at: datetime) -> PreviewPage:
    """The page of a pass with a button to add it, and a QR code that takes the link to a phone.

    Args:
        pkpass: as Wallet gets it.
        language: of the person who looks.
        link: the page's own address.
        expires_at: until when the link leads here, in UTC.

    Raises:
        OpenedPassError: it is no pass.
    """
    seen = view(OpenedPass.read(pkpass, language=language))
    return _page("link.html", ("page.css", "link.css"), seen, qr=qr_code(link), expires_at=expires_at)


def notice_page(heading: str, text: str) -> PreviewPage:
    """A page that says why there is no pass."""
    style = (_FOLDER / "link.css").read_text()
    policy = f"default-src 'none'; style-src {_source(style)}; base-uri 'none'"
    template = _environment().get_template("notice.html")
    return PreviewPage(template.render(heading=heading, text=text, style=style, policy=policy), policy)


def _page(template: str, styles: tuple[str, ...], seen: View, **more: object) -> PreviewPage:
    script = (_FOLDER / "page.js").read_text()
    style = seen.palette.style + "".join((_FOLDER / name).read_text() for name in styles)
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'"
    )
    html = (
        _environment()
        .get_template(template)
        .render(seen=seen, style=style, script=script, policy=policy, language=seen.opened.language, **more)
    )
    return PreviewPage(html, policy)


def _source(text: str) -> str:
    """What names an inline style or script to a browser (CSP Level 3, 2.3.1)."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> "Environment":
    """Parsed templates, for the life of the process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
