"""Starting points for designers: how the files of a complete template are made of its fields, texts and colors."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.passes.format.images import IMAGES, PASS_JSON, STRINGS
from chalicelib.passes.strings import write_strings
from infra.operate.templates.drawing import Bar, Color, Disc, draw

LANGUAGES = ("en", "de")
_SCALES = {1: "", 2: "@2x", 3: "@3x"}
_WHITE: Color = (255, 255, 255)
Texts = tuple[str, str]
"""A text in each of `LANGUAGES`."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its key, its label, its value (localized if it is a pair), and further keys of Apple."""

    key: str
    label: Texts
    value: object
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """Content of a template of one style.

    Args:
        name: the style, or the scheme by which phones show it.
        description: text for VoiceOver.
        colors: background at the top and bottom of images, and color of the labels.
        groups: fields by the key of pass.json and group.
        images: names of the images besides the icon.
        more: further keys of pass.json.
    """

    name: str
    description: Texts
    colors: tuple[Color, Color, Color]
    groups: Mapping[str, Mapping[str, Sequence[Field]]]
    images: Sequence[str]
    more: Mapping[str, object]

    def files(self) -> dict[str, bytes]:
        """Return the files by path."""
        texts: dict[str, Texts] = {"description": self.description, "organization": ("Your company", "Ihre Firma")}
        top, _, label = self.colors
        content: dict[str, Any] = {
            "formatVersion": 1,
            "description": "description",
            "organizationName": "organization",
            "backgroundColor": _rgb(top),
            "foregroundColor": _rgb(_WHITE),
            "labelColor": _rgb(label),
            **self.more,
        }
        for style, groups in self.groups.items():
            written = {f"{group}Fields": [_written(each, texts) for each in fields] for group, fields in groups.items()}
            content[style] = {**content.get(style, {}), **written}
        files = {PASS_JSON: (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()}
        for index, language in enumerate(LANGUAGES):
            files[f"{language}.lproj/{STRINGS}"] = write_strings({key: text[index] for key, text in texts.items()})
        for name in ("icon", *self.images):
            for scale, suffix in _SCALES.items():
                files[f"{name}{suffix}.png"] = _image(name, scale, self.colors)
        return files


def _written(each: Field, texts: dict[str, Texts]) -> dict[str, object]:
    """Return a field of pass.json, and add its texts to those of the strings files."""
    written: dict[str, object] = {"key": each.key}
    if any(each.label):
        texts[f"{each.key}_label"] = each.label
        written["label"] = f"{each.key}_label"
    value = each.value
    if isinstance(value, tuple):
        texts[f"{each.key}_value"] = value
        value = f"{each.key}_value"
    written["value"] = value
    for name, member in each.more.items():
        if isinstance(member, tuple):
            texts[f"{each.key}_{name}"] = member
            written[name] = f"{each.key}_{name}"
        else:
            written[name] = member
    return written


def _rgb(color: Color) -> str:
    return f"rgb({color[0]}, {color[1]}, {color[2]})"


def _image(name: str, scale: int, colors: tuple[Color, Color, Color]) -> bytes:
    top, bottom, accent = colors
    place = IMAGES[name]
    width, height = place.width, place.height
    if name == "icon":
        shapes: Iterable[Disc | Bar] = _mark(width / 2, height / 2, 12, accent)
        return draw(width, height, scale=scale, gradient=(top, bottom), shapes=shapes)
    if name in ("logo", "primaryLogo", "secondaryLogo"):
        radius = height / 2 - 1
        width = round(height * 2.4)
        bars = [
            Bar(height * 1.15, height * 0.3, height * 1.1, height * 0.14, _WHITE),
            Bar(height * 1.15, height * 0.56, height * 0.75, height * 0.14, accent),
        ]
        return draw(
            width, height, scale=scale, gradient=None, shapes=[*_mark(height / 2, height / 2, radius, accent), *bars]
        )
    if name == "footer":
        bars = [Bar(20 * step, 0, 10, height, accent, 0.4 + 0.04 * step) for step in range(width // 20 + 1)]
        return draw(width, height, scale=scale, gradient=(top, bottom), shapes=bars)
    size = max(width, height)
    shapes = [
        Disc(width * 0.82, height * 0.25, size * 0.34, accent, 0.25),
        Disc(width * 0.82, height * 0.25, size * 0.22, accent, 0.35),
        Disc(width * 0.2, height * 1.05, size * 0.45, _WHITE, 0.12, size * 0.38),
        Disc(width * 0.2, height * 1.05, size * 0.3, _WHITE, 0.12, size * 0.23),
    ]
    if name == "thumbnail":
        shapes = [
            Disc(width / 2, height * 0.4, height * 0.2, _WHITE, 0.9),
            Disc(width / 2, height * 1.1, height * 0.42, _WHITE, 0.9),
        ]
    return draw(width, height, scale=scale, gradient=(bottom, top), shapes=shapes)


def _mark(x: float, y: float, radius: float, accent: Color) -> list[Disc | Bar]:
    return [Disc(x, y, radius, accent, 1.0, radius * 0.62), Disc(x, y, radius * 0.32, _WHITE)]
