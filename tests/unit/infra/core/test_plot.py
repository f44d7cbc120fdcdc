"""Tests of the charts."""

import math
import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from infra.core.plot import HEIGHT, MAX_POINTS, WIDTH, Chart, Line, svg

SVG = "{http://www.w3.org/2000/svg}"
amounts = st.floats(0, 1e9)


def drawn(charts: list[Chart]) -> ET.Element:
    return ET.fromstring(svg(charts))  # noqa: S314 - made here


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@given(st.lists(st.tuples(amounts, amounts), max_size=50).map(sorted))
def test_every_line_stays_inside_its_chart(points: list[tuple[float, float]]) -> None:
    root = drawn([Chart("title", "seconds", [Line("a", points)])])
    (line,) = root.iter(f"{SVG}polyline")
    for x, y in (pair.split(",") for pair in line.attrib["points"].split()):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT


@given(amounts)
def test_axis_ends_at_a_round_number_that_is_at_least_the_highest_value(highest: float) -> None:
    root = drawn([Chart("", "", [Line("", [(0, 0), (1, highest)])])])
    axis = [text.replace(",", "") for text in texts(root) if re.fullmatch(r"[\d,.e+-]+", text)]
    assert any(float(text) >= highest * (1 - 1e-5) for text in axis)
    assert len(axis) < 20


def test_title_legend_and_label_are_shown_literally() -> None:
    shown = texts(drawn([Chart("<b>", "s & t", [Line("paced", [(0, 1)]), Line("unpaced", [(0, 2)])])]))
    assert {"<b>", "s & t", "paced", "unpaced"} <= set(shown)


def test_charts_are_drawn_below_each_other() -> None:
    chart = Chart("", "", [Line("", [(0, 0), (10, 10)])])
    root = drawn([chart, chart])
    assert root.attrib["height"] == str(2 * HEIGHT)
    assert len(list(root.iter(f"{SVG}polyline"))) == 2


def test_long_lines_keep_their_ends() -> None:
    points = [(float(x), math.sqrt(x)) for x in range(10_000)]
    root = drawn([Chart("", "", [Line("", points)])])
    (line,) = root.iter(f"{SVG}polyline")
    places = line.attrib["points"].split()
    assert len(places) <= MAX_POINTS
    assert places[0] != places[-1]
