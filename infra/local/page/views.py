"""Values that the page's HTML templates arrange, and the templates themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chalicelib.preview import Card, OpenedPass, cards_of, notification_html
from infra.local.page.phones import LANGUAGES
from infra.local.page.shown_phone import PassKey, Screen, ShownPhone
from infra.local.phone import InstalledPass

FOLDER = Path(__file__).parent
CACHED_CARDS = 200


@dataclass(frozen=True, slots=True)
class PassView:
    """A pass on a phone.

    Args:
        key: pass type identifier and serial number.
        title: for the list of passes.
        front: HTML of the front, which the preview has escaped.
        back: HTML of the back, also escaped.
        palette: name of its colors, for `/palettes/<name>.css`.
        is_unregistered: whether its registration was deleted on the server only.
    """

    key: PassKey
    title: str
    front: str
    back: str
    palette: str
    is_unregistered: bool

    @property
    def pass_id(self) -> str:
        return "/".join(self.key)


@dataclass(frozen=True, slots=True)
class PhoneView:
    """A phone.

    Args:
        shown: the phone.
        passes: all of its passes.
        current: the pass that Wallet shows; None for none.
        notifications: HTML by key, newest first.
        waiting: the numbers of pushes that wait for it, by pass type.
    """

    shown: ShownPhone
    passes: Sequence[PassView]
    current: PassView | None
    notifications: Sequence[tuple[str, PassKey, str]]
    waiting: Sequence[tuple[str, int]]


@dataclass
class Drawings:
    """Draws passes with the project's preview.

    Args:
        palettes: CSS of the colors that were drawn, by name.
    """

    palettes: dict[str, str] = field(default_factory=dict)

    def phone(self, shown: ShownPhone) -> PhoneView:
        """Draw a phone."""
        passes = [self._pass(shown, key, installed) for key, installed in list(shown.phone.passes.items())]
        language = shown.phone.language
        notifications = []
        for update in list(shown.updates):
            after = _opened(update.after, language)
            html = notification_html(_opened(update.before, language), after)
            content = after.content
            notifications.append((update.key, (content["passTypeIdentifier"], content["serialNumber"]), html))
        return PhoneView(
            shown=shown,
            passes=passes,
            current=next((view for view in passes if view.key == shown.selected), passes[0] if passes else None),
            notifications=notifications,
            waiting=list(shown.waiting.counts.items()),
        )

    def _pass(self, shown: ShownPhone, key: PassKey, installed: InstalledPass) -> PassView:
        card = _card(installed.archive, shown.phone.language)
        self.palettes[card.view.palette.name] = card.css
        opened = card.view.opened
        return PassView(
            key=key,
            title=opened.text(opened.content.get("logoText") or opened.content.get("description") or key[1]),
            front=card.front,
            back=card.back,
            palette=card.view.palette.name,
            is_unregistered=key in shown.unregistered,
        )


@lru_cache(CACHED_CARDS)
def _opened(archive: bytes, language: str) -> OpenedPass:
    return OpenedPass.read(archive, language=language)


@lru_cache(CACHED_CARDS)
def _card(archive: bytes, language: str) -> Card:
    return cards_of(_opened(archive, language))[0]


def environment() -> Environment:
    """Return the template engine, with the names that all templates use."""
    engine = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.globals.update(languages=LANGUAGES, Screen=Screen)
    engine.filters["moment"] = _moment
    engine.filters["duration"] = _duration
    return engine


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
