"""Draws simple images as PNG: a vertical gradient with discs, rings and bars on it, without an imaging library.

Equal arguments give equal pixels. Rows are filled by slices and translation tables, so that the largest image of a pass
takes a tenth of a second.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

Color = tuple[int, int, int]
_CHANNELS = 4
_OPAQUE = 255
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGBA = 6
_STEPS = 16
"""Steps of the coverage of a pixel on an edge."""


@dataclass(frozen=True, slots=True)
class Disc:
    """A disc, or a ring if it has an inner radius; all lengths in points.

    Args:
        x: center from the left.
        y: center from the top.
        radius: outer radius.
        color: red, green and blue.
        opacity: 0 to 1.
        inner: inner radius.
    """

    x: float
    y: float
    radius: float
    color: Color
    opacity: float = 1.0
    inner: float = 0.0

    def spans(self, y: float) -> Iterator[tuple[float, float]]:
        """Yield the parts of a horizontal line within the shape."""
        outer = _half_chord(self.radius, y - self.y)
        inner = _half_chord(self.inner, y - self.y)
        if outer and not inner:
            yield self.x - outer, self.x + outer
        elif outer:
            yield self.x - outer, self.x - inner
            yield self.x + inner, self.x + outer


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle with its left and top edge, in points."""

    x: float
    y: float
    width: float
    height: float
    color: Color
    opacity: float = 1.0

    def spans(self, y: float) -> Iterator[tuple[float, float]]:
        """Yield the parts of a horizontal line within the shape."""
        if self.y <= y < self.y + self.height:
            yield self.x, self.x + self.width


def draw(
    width: int, height: int, *, scale: int, gradient: tuple[Color, Color] | None, shapes: Iterable[Disc | Bar] = ()
) -> bytes:
    """Return a PNG.

    Args:
        width: width in points.
        height: height in points.
        scale: pixels per point.
        gradient: colors at the top and the bottom; None for a transparent background.
        shapes: what to draw on it, from the back to the front.
    """
    across, down = width * scale, height * scale
    drawn = list(shapes)
    rows = bytearray()
    for row in range(down):
        line = bytearray(_background(gradient, row / max(1, down - 1)) * across)
        for shape in drawn:
            for start, end in shape.spans((row + 0.5) / scale):
                _fill(line, start * scale, end * scale, shape.color, shape.opacity)
        rows += b"\0" + line
    header = struct.pack(">IIBBBBB", across, down, 8, _RGBA, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + _chunk(b"IEND", b"")


def _half_chord(radius: float, distance: float) -> float:
    return math.sqrt(radius * radius - distance * distance) if abs(distance) < radius else 0.0


def _background(gradient: tuple[Color, Color] | None, part: float) -> bytes:
    if gradient is None:
        return bytes(_CHANNELS)
    return bytes([*(round(a + (b - a) * part) for a, b in zip(*gradient, strict=True)), _OPAQUE])


def _fill(line: bytearray, start: float, end: float, color: Color, opacity: float) -> None:
    """Blend a color into the pixels of a line between two edges; pixels that an edge crosses get a part of it."""
    width = len(line) // _CHANNELS
    start, end = max(0.0, start), min(float(width), end)
    if start >= end:
        return
    first, last = math.ceil(start), math.floor(end)
    if first > last:
        _blend(line, last, first, color, opacity * (end - start))
        return
    _blend(line, first, last, color, opacity)
    if first - start:
        _blend(line, first - 1, first, color, opacity * (first - start))
    if end - last:
        _blend(line, last, last + 1, color, opacity * (end - last))


def _blend(line: bytearray, first: int, last: int, color: Color, opacity: float) -> None:
    if first >= last:
        return
    steps = round(opacity * _STEPS)
    for channel, target in enumerate((*color, _OPAQUE)):
        part = slice(first * _CHANNELS + channel, last * _CHANNELS, _CHANNELS)
        line[part] = line[part].translate(_table(target, steps))


@cache
def _table(target: int, steps: int) -> bytes:
    """Return the table that moves a channel towards a value."""
    return bytes(round(value + (target - value) * steps / _STEPS) for value in range(256))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
