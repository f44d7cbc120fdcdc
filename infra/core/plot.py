"""Draws line charts as SVG files, which browsers and GitHub show without any library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 78, 30, 44, 40
COLORS = ("#0a6ebd", "#c8501e", "#2d7d46", "#7a4fa3")
TICKS = 5
SMALLEST = 1e-9
"""The end of an axis is 1 if no value is larger than this."""
MAX_POINTS = 600
"""Points per line; of more, evenly distributed ones are drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart.

    Args:
        name: shown in the legend.
        points: x and y, sorted by x.
    """

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with one pair of axes, which begin at zero.

    Args:
        title: shown above.
        x_label: below the horizontal axis, with the unit.
        lines: at most four.
    """

    title: str
    x_label: str
    lines: Sequence[Line]


def svg(charts: Sequence[Chart]) -> str:
    """Draw charts, one below the other; returns the content of an SVG file."""
    height = HEIGHT * len(charts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        '<g font-family="system-ui, sans-serif" font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, chart in enumerate(charts):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *_chart(chart), "</g>"]
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _chart(chart: Chart) -> list[str]:
    x_step, x_end = _scale(max((x for line in chart.lines for x, _ in line.points), default=0.0))
    y_step, y_end = _scale(max((y for line in chart.lines for _, y in line.points), default=0.0))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x_at(value: float) -> float:
        return LEFT + (right - LEFT) * value / x_end

    def y_at(value: float) -> float:
        return bottom - (bottom - TOP) * value / y_end

    parts = [f'<text x="{LEFT}" y="18" font-size="14" font-weight="600">{escape(chart.title)}</text>']
    for value in _values(y_step, y_end):
        y = y_at(value)
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>',
        ]
    for value in _values(x_step, x_end):
        parts.append(f'<text x="{x_at(value):.1f}" y="{bottom + 16}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<text x="{right}" y="{bottom + 32}" text-anchor="end">{escape(chart.x_label)}</text>')
    for number, line in enumerate(chart.lines):
        color = COLORS[number % len(COLORS)]
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in _thinned(line.points))
        legend = LEFT + 160 * number
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>',
            f'<line x1="{legend}" y1="32" x2="{legend + 20}" y2="32" stroke="{color}" stroke-width="3"/>',
            f'<text x="{legend + 26}" y="36">{escape(line.name)}</text>',
        ]
    return parts


def _scale(highest: float) -> tuple[float, float]:
    """Return a round step between the ticks of an axis, and the axis's end, for values up to `highest`."""
    if highest <= SMALLEST:
        return 1.0, 1.0
    rough = highest / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return step, step * math.ceil(highest / step - 1e-9)


def _values(step: float, end: float) -> list[float]:
    return [step * number for number in range(round(end / step) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= MAX_POINTS:
        return points
    step = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(number * step)] for number in range(MAX_POINTS)]
