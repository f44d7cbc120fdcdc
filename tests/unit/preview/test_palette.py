"""Tests of the colors of a card."""

import pytest

from chalicelib.passes.format.colors import RGB
from chalicelib.preview.palette import contrast, palette_of


def test_colors_of_the_pass_are_used() -> None:
    content = {"backgroundColor": "#102030", "foregroundColor": "rgb(1, 2, 3)", "labelColor": "#fff"}
    palette = palette_of({**content, "stripColor": "rgb(9,9,9)", "footerBackgroundColor": "rgb(8,8,8)"})
    assert (palette.background, palette.foreground, palette.label) == ((16, 32, 48), (1, 2, 3), (255, 255, 255))
    assert (palette.strip, palette.foot) == ((9, 9, 9), (8, 8, 8))


@pytest.mark.parametrize(("background", "foreground"), [("#000", (255, 255, 255)), ("#ffff00", (0, 0, 0))])
@pytest.mark.parametrize("given", [{}, {"foregroundColor": "Black"}, {"foregroundColor": 7}])
def test_missing_or_invalid_foreground_contrasts_with_the_background(
    background: str, foreground: RGB, given: dict[str, object]
) -> None:
    assert palette_of({"backgroundColor": background, **given}).foreground == foreground


def test_automatic_colors_replace_those_of_the_pass() -> None:
    palette = palette_of({"backgroundColor": "#000", "foregroundColor": "#123", "useAutomaticColors": True})
    assert palette.foreground == (255, 255, 255)


def test_css_contains_no_text_of_the_pass() -> None:
    hostile = "red}</style><script>"
    palette = palette_of({"backgroundColor": hostile, "foregroundColor": hostile, "labelColor": hostile})
    assert "<" not in palette.css
    assert palette.css.startswith(f".{palette.name}{{--background:rgb(242,242,247);")


def test_contrast_of_black_and_white_is_21() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
    assert contrast((7, 7, 7), (7, 7, 7)) == 1
