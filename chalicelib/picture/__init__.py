"""A picture of a pass: a built `.pkpass` as one HTML page, front and back, that loads nothing from anywhere.

For `template preview`, the demo and the pages that hand passes out. It shows what a designer must see (places, colours,
texts in a language, images, the barcode as a scanner reads it), not Wallet's fonts to the pixel. A pass is other
people's text: everything is escaped by the template engine, colours are parsed, and the page forbids itself every
style, script and image but its own (Content-Security-Policy), so that nothing in a pass can become markup.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from chalicelib.picture.opened import OpenedPass, OpenedPassError
from chalicelib.picture.views import view

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["OpenedPassError", "page"]

_FOLDER = Path(__file__).parent


def page(pkpass: bytes, *, language: str) -> str:
    """The HTML page of a pass.

    Args:
        pkpass: as Wallet gets it; its signature is not looked at.
        language: of the person who looks, as `de` or `zh-Hans`; the pass's own texts where it has none in it.

    Raises:
        OpenedPassError: it is no pass.
    """
    opened = OpenedPass.read(pkpass, language=language)
    seen = view(opened)
    script = (_FOLDER / "page.js").read_text()
    style = seen.palette.style + (_FOLDER / "page.css").read_text()
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'"
    )
    template = _environment().get_template("page.html")
    return template.render(seen=seen, style=style, script=script, policy=policy, language=opened.language)


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
