"""Tests of the starting points for designers."""

import json
from functools import cache
from typing import Any

import pytest

from chalicelib.passes.format.keys import CLASSIC_STYLES, POSTER_GENERIC
from chalicelib.passes.strings import parse_strings
from chalicelib.preview.faces import faces_of, limits_of, style_of
from infra.operate.templates.check import check_template
from infra.operate.templates.starting_point import LANGUAGES
from infra.operate.templates.starting_points import STARTING_POINTS

EVERY = pytest.mark.parametrize("name", STARTING_POINTS)


@cache
def files_of(name: str) -> dict[str, bytes]:
    return STARTING_POINTS[name].files()


def content_of(files: dict[str, bytes]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files["pass.json"])
    return content


def test_every_style_and_scheme_has_a_starting_point() -> None:
    assert set(STARTING_POINTS) == {*CLASSIC_STYLES, POSTER_GENERIC, "posterEventTicket", "semanticBoardingPass"}


@EVERY
def test_starting_point_has_no_findings(name: str) -> None:
    assert check_template("sample", files_of(name)) == []


@EVERY
def test_newest_phones_show_it_in_the_look_of_its_name(name: str) -> None:
    files = files_of(name)
    images = {path.removesuffix(".png") for path in files if "@" not in path}
    assert faces_of(content_of(files), images)[0] == name


@EVERY
def test_every_group_that_phones_show_has_fields(name: str) -> None:
    content = content_of(files_of(name))
    style = style_of(name)
    groups = [names[0] for names, count in limits_of(style, square_barcode=False) if count]
    for group in [*groups, "backFields"]:
        assert content[style][group], group


@EVERY
def test_every_text_is_in_two_languages(name: str) -> None:
    files = files_of(name)
    texts = [parse_strings(files[f"{language}.lproj/pass.strings"]) for language in LANGUAGES]
    assert texts[0].keys() == texts[1].keys()
    assert "help_value" in texts[0]
    content = content_of(files)
    assert content["description"] in texts[0]


@pytest.mark.parametrize("name", ["boardingPass", "posterEventTicket"])
def test_files_are_the_same_each_time(name: str) -> None:
    assert STARTING_POINTS[name].files() == files_of(name)


@EVERY
def test_a_change_of_some_field_notifies(name: str) -> None:
    assert "changeMessage" in json.dumps(content_of(files_of(name))[style_of(name)])
