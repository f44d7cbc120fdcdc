"""Tests of making a template's files of its fields, texts and colors."""

import json

from chalicelib.passes.strings import parse_strings
from infra.operate.templates.images import png_size
from infra.operate.templates.starting_point import LANGUAGES, Field, StartingPoint

POINT = StartingPoint(
    name="generic",
    description=("A card", "Eine Karte"),
    colors=((1, 2, 3), (4, 5, 6), (7, 8, 9)),
    groups={
        "generic": {
            "primary": [Field("member", ("Member", "Mitglied"), "")],
            "back": [
                Field("terms", ("", ""), ("Terms", "AGB"), {"changeMessage": ("New: %@", "Neu: %@"), "row": 1}),
            ],
        }
    },
    images=("logo",),
    more={"sharingProhibited": True},
)
FILES = POINT.files()
CONTENT = json.loads(FILES["pass.json"])


def test_fields_refer_to_their_texts() -> None:
    assert CONTENT["generic"] == {
        "primaryFields": [{"key": "member", "label": "member_label", "value": ""}],
        "backFields": [{"key": "terms", "value": "terms_value", "changeMessage": "terms_changeMessage", "row": 1}],
    }


def test_every_language_has_every_text() -> None:
    english, german = (parse_strings(FILES[f"{language}.lproj/pass.strings"]) for language in LANGUAGES)
    assert english.keys() == german.keys()
    assert (english["terms_value"], german["terms_value"]) == ("Terms", "AGB")
    assert {
        "member_label",
        "terms_changeMessage",
        CONTENT["description"],
        CONTENT["organizationName"],
    } <= english.keys()


def test_colors_and_further_keys_are_written() -> None:
    assert (CONTENT["backgroundColor"], CONTENT["labelColor"]) == ("rgb(1, 2, 3)", "rgb(7, 8, 9)")
    assert CONTENT["sharingProhibited"] is True


def test_images_have_three_scales() -> None:
    assert {name for name in FILES if name.endswith(".png")} == {
        f"{name}{scale}.png" for name in ("icon", "logo") for scale in ("", "@2x", "@3x")
    }
    width, height = png_size(FILES["logo.png"])
    assert png_size(FILES["logo@3x.png"]) == (3 * width, 3 * height)
