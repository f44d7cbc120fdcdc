"""Pages of download links: the passes, what to do with them on the reader's device, or why there is no pass.

The pages load nothing from any other host and work without scripts; a script only formats dates and numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path

from chalicelib.passes.strings import same_language
from chalicelib.preview import PreviewPage, cards_of, environment, script, source_of, stylesheet
from chalicelib.preview.barcodes import qr_code
from chalicelib.preview.link_words import link_words
from chalicelib.preview.opened import SUFFIX, OpenedPass

_FOLDER = Path(__file__).parent
_DEFAULT_LANGUAGE = "en"


class DeviceKind(Enum):
    """Kinds of devices that differ in what the page offers."""

    IPHONE = "iphone"
    IPHONE_APP = "iphone_app"
    """A web view in an app on an iPhone, which cannot add passes."""
    IPAD = "ipad"
    MAC = "mac"
    ANDROID = "android"
    OTHER = "other"

    @property
    def adds_passes(self) -> bool:
        """True if the browser hands a downloaded pass to Apple Wallet."""
        return self in (DeviceKind.IPHONE, DeviceKind.MAC)

    @property
    def is_phone(self) -> bool:
        """True if the reader cannot scan a QR code on this screen with the same device's camera."""
        return self in (DeviceKind.IPHONE, DeviceKind.IPHONE_APP, DeviceKind.ANDROID)


class Notice(Enum):
    """Why there is no pass; the value is the name of its text."""

    NO_PASS = "no_pass"
    SLOW = "slow"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LinkPage:
    """Content of a page of a link.

    Args:
        passes: number in the link and archive of each pass.
        preferred: languages of the reader, the favorite first.
        device: of the reader.
        link: URL of the page.
        expires_at: time of expiry of the link, in UTC.
        granted: passes that the link grants; some may have been left out.
        too_large: whether the passes were asked for as one archive and are too large for it.
    """

    passes: Sequence[tuple[int, bytes]]
    preferred: Sequence[str]
    device: DeviceKind
    link: str
    expires_at: datetime
    granted: int
    too_large: bool = False

    def render(self) -> PreviewPage:
        """Return the page.

        Raises:
            OpenedPassError: an archive is not a pass.
        """
        words = link_words(self.preferred)
        opened = [(number, open_pass(pkpass, self.preferred)) for number, pkpass in self.passes]
        cards = [(number, cards_of(each, at=None)[0]) for number, each in opened]
        style = stylesheet() + "".join(sorted({card.css for _, card in cards})) + _css()
        policy = (
            f"default-src 'none'; img-src data:; style-src {source_of(style)}; script-src {source_of(script())}; "
            "base-uri 'none'"
        )
        html = (
            environment()
            .get_template("link.html")
            .render(
                page=self,
                words=words,
                cards=cards,
                first=cards[0][1].view,
                image=link_image(opened[0][1]) is not None,
                qr=None if self.device.is_phone else qr_code(self.link),
                style=style,
                script=script(),
                policy=policy,
            )
        )
        return PreviewPage(html, policy)


def notice_page(notice: Notice, preferred: Sequence[str]) -> PreviewPage:
    """Return a page that explains why there is no pass.

    Args:
        notice: the reason.
        preferred: languages of the reader, the favorite first.
    """
    policy = f"default-src 'none'; style-src {source_of(_css())}; base-uri 'none'"
    html = (
        environment()
        .get_template("notice.html")
        .render(words=link_words(preferred), notice=notice.value, style=_css(), policy=policy)
    )
    return PreviewPage(html, policy)


def open_pass(pkpass: bytes, preferred: Sequence[str]) -> OpenedPass:
    """Open a pass in the first preferred language that it has, else in the one that a phone falls back to.

    Raises:
        OpenedPassError: the archive is not a pass.
    """
    content, files = OpenedPass.members(pkpass)
    spoken = {path.partition("/")[0].removesuffix(SUFFIX) for path in files if SUFFIX in path}
    wanted = next((language for language in preferred if _speaks(spoken, language)), None)
    return OpenedPass.of(content, files, language=wanted or next(iter(preferred), _DEFAULT_LANGUAGE))


def link_image(opened: OpenedPass) -> bytes | None:
    """Return the PNG that messengers show beside a link: the logo, else the icon; never a person's photo."""
    return next((opened.images[name] for name in ("logo", "primaryLogo", "icon") if name in opened.images), None)


def _speaks(languages: Iterable[str], wanted: str) -> bool:
    """Tell whether one of the languages is the wanted one, or the same without its region (RFC 4647, "lookup")."""
    parts = wanted.split("-")
    ranges = ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return any(same_language(language, range_) for language in languages for range_ in ranges)


@cache
def _css() -> str:
    return (_FOLDER / "link.css").read_text()
