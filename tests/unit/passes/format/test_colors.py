"""Tests of colors: what phones read, and what Apple documents."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.colors import PATTERN, parse_color, remark

PARTS = st.integers(min_value=-999, max_value=999)


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("rgb(18, 52, 86)", (18, 52, 86)),
        ("  RGB( 18 ,52,86 ) ", (18, 52, 86)),
        ("#123456", (18, 52, 86)),
        ("#fff", (255, 255, 255)),
        ("#0aF", (0, 170, 255)),
        ("rgb(-1, 300, 0)", (0, 255, 0)),
        ("rgba(1, 2, 3, 0.5)", (1, 2, 3)),
        ("rgba(1, 2, 3, 50%)", (1, 2, 3)),
        ("rgba(1, 2, 3)", None),
        ("rgb(1, 2, 3, 0.5)", None),
        ("rgb(1, 2)", None),
        ("rgb(1.5, 2, 3)", None),
        ("#1234", None),
        ("red", None),
        ("", None),
    ],
)
def test_color_is_read_as_phones_do(text: str, color: tuple[int, int, int] | None) -> None:
    assert parse_color(text) == color


@given(red=PARTS, green=PARTS, blue=PARTS)
def test_parts_out_of_range_become_the_nearest_end(red: int, green: int, blue: int) -> None:
    color = parse_color(f"rgb({red}, {green}, {blue})")
    assert color == tuple(min(max(part, 0), 255) for part in (red, green, blue))


@given(
    st.text(max_size=20)
    | st.from_regex(r"#[0-9a-fA-F]{2,7}", fullmatch=True)
    | st.from_regex(r"(rgb|RGBA)\( ?[0-9]{1,3}, ?[0-9]{1,3}, ?[0-9]{1,3}(, ?0?\.5%?)?\)", fullmatch=True)
)
def test_schema_accepts_exactly_the_colors_that_are_read(text: str) -> None:
    if text.isascii():
        assert (re.search(PATTERN, text) is not None) == (parse_color(text) is not None)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("#123456", "write rgb(18, 52, 86)"),
        ("rgba(1, 2, 3, 0.5)", "has an alpha value"),
        ("rgb(300, 2, 3)", "out of the range 0 to 255"),
        ("rgb(1, 2, 3)", ""),
        ("red", ""),
    ],
)
def test_remark_names_the_documented_form(text: str, part: str) -> None:
    assert part in remark(text)
    assert bool(part) == bool(remark(text))
