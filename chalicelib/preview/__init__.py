"""Preview of a pass: a built `.pkpass` as an HTML page with front and back, which loads nothing from other addresses.

It is for previews of templates and for download links. It shows what a designer checks (positions, colors, texts in a
language, images, a barcode that scanners can read), but does not copy Wallet's fonts exactly. The texts of a pass are
not trusted: the template engine escapes them, colors are parsed, and the Content-Security-Policy of the page allows
only its own styles, scripts and images. So nothing in a pass can become markup.
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
    """An HTML page and its policy.

    Args:
        html: the whole page.
        policy: its Content-Security-Policy, which the page contains too.
    """

    html: str
    policy: str


def page(pkpass: bytes, *, language: str) -> str:
    """Return the HTML page of a pass.

    Args:
        pkpass: the archive that Wallet would get; its signature is not verified.
        language: the viewer's language, such as `de` or `zh-Hans`.

    Raises:
        OpenedPassError: the archive is not a pass.
    """
    return _page("page.html", ("page.css",), view(OpenedPass.read(pkpass, language=language))).html


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
    seen = view(OpenedPass.read(pkpass, language=language))
    return _page("link.html", ("page.css", "link.css"), seen, qr=qr_code(link), expires_at=expires_at)


def notice_page(heading: str, text: str) -> PreviewPage:
    """Return a page that explains why there is no pass."""
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
    """Return the source expression of an inline style or script in a policy (CSP Level 3, section 2.3.1)."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


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
