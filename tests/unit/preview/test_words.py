"""Tests of Wallet's own words."""

import pytest

from chalicelib.preview.words import all_words, direction_of, words_of


def test_every_language_has_every_word() -> None:
    names = {"void", "expired", "changed", "gate", "seat", "undrawn"}
    known = all_words()
    assert len(known) == 10
    english = {name for name in known["en"] if name not in ("numbers", "tens")}
    assert names <= english
    for words in known.values():
        assert {name for name in words if name not in ("numbers", "tens", "hundreds")} == english


def test_words_of_an_unknown_language_are_english() -> None:
    assert words_of("de-AT")["void"] == "Ungültig"
    assert words_of("tlh")["void"] == words_of("")["void"] == "Void"


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("he-IL", "rtl"), ("de", "ltr"), ("", "ltr")])
def test_direction_is_that_of_the_script(language: str, direction: str) -> None:
    assert direction_of(language) == direction
