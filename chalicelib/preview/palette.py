"""Colors of a pass on a page: parsed, completed as Wallet completes them, and as CSS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.passes.format.colors import RGB, parse_color

_DEFAULT_BACKGROUND = (242, 242, 247)
_LIGHT, _DARK = (255, 255, 255), (0, 0, 0)
_LABEL_MIX = 0.35
_LINEAR_END = 0.03928


@dataclass(frozen=True, slots=True)
class Palette:
    """Parsed colors of a pass: none of them is text of the pass.

    Args:
        background: of the card.
        foreground: of the values.
        label: of the labels.
        strip: of the primary field over a strip image.
        foot: of the lower part of a poster.
    """

    background: RGB
    foreground: RGB
    label: RGB
    strip: RGB
    foot: RGB

    @property
    def name(self) -> str:
        """Class of the elements that have these colors: equal palettes have equal names."""
        parts = (self.background, self.foreground, self.label, self.strip, self.foot)
        return "p" + "".join(f"{part:02x}" for color in parts for part in color)

    @property
    def css(self) -> str:
        """The rule that gives the class its colors."""
        named = {
            "background": self.background,
            "foreground": self.foreground,
            "label": self.label,
            "strip": self.strip,
            "foot": self.foot,
        }
        colors = "".join(f"--{key}:rgb({r},{g},{b});" for key, (r, g, b) in named.items())
        return f".{self.name}{{{colors}--halo:{self._halo}}}\n"

    @property
    def _halo(self) -> str:
        """Color around texts on images, which keeps them legible."""
        is_light = contrast(self.foreground, _DARK) > contrast(self.foreground, _LIGHT)
        return "rgba(0,0,0,.55)" if is_light else "rgba(255,255,255,.7)"


def palette_of(content: Mapping[str, Any]) -> Palette:
    """Return the colors of a pass.json. A missing or invalid color becomes the one that Wallet uses in its place."""
    background = _color(content, "backgroundColor") or _DEFAULT_BACKGROUND
    automatic = content.get("useAutomaticColors") is True
    readable = _DARK if contrast(background, _DARK) > contrast(background, _LIGHT) else _LIGHT
    foreground = (None if automatic else _color(content, "foregroundColor")) or readable
    label = (None if automatic else _color(content, "labelColor")) or _mixed(foreground, background)
    return Palette(
        background=background,
        foreground=foreground,
        label=label,
        strip=_color(content, "stripColor") or foreground,
        foot=_color(content, "footerBackgroundColor") or background,
    )


def contrast(one: RGB, other: RGB) -> float:
    """Return the contrast of two colors, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: RGB) -> float:
    red, green, blue = (
        part / 12.92 if part <= _LINEAR_END else ((part + 0.055) / 1.055) ** 2.4
        for part in (part / 255 for part in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _color(content: Mapping[str, Any], key: str) -> RGB | None:
    """Return a color of the pass; None if phones cannot read it."""
    value = content.get(key)
    return parse_color(value) if isinstance(value, str) else None


def _mixed(color: RGB, other: RGB) -> RGB:
    """Return a color between two others, as Wallet does for labels without a color."""
    red, green, blue = (round(a + (b - a) * _LABEL_MIX) for a, b in zip(color, other, strict=True))
    return red, green, blue
