"""Tests of the page's filters and of drawn phones."""

from pathlib import Path

import pytest

from infra.local.page.shown_phone import Screen
from infra.local.page.views import Drawings, environment
from tests.support.shown_phone import KEY, phone_with_a_pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ 0.0124 | duration }}", "12 ms"),
        ("{{ 2.34 | duration }}", "2.3 s"),
        ("{{ 1800000000.5 | moment }}", "2027-01-15T08:00:00.500+00:00"),
    ],
)
def test_times_are_written_for_people(text: str, expected: str) -> None:
    assert environment().from_string(text).render() == expected


def test_html_of_a_value_is_escaped() -> None:
    assert environment().from_string("{{ value }}").render(value="<b>") == "&lt;b&gt;"


def test_phone_shows_its_selected_pass_and_waiting_pushes(tmp_path: Path) -> None:
    assert tmp_path
    drawings = Drawings()
    view = drawings.phone(phone_with_a_pass())
    assert view.current is not None
    assert view.current.pass_id == "/".join(KEY)
    assert view.current.palette in drawings.palettes
    assert view.waiting == [(KEY[0], 2)]
    assert view.shown.screen is Screen.WALLET
