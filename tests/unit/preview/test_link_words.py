"""Tests of the texts of download links' pages."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.preview import link_words as module
from chalicelib.preview.link_words import languages, link_words

ENGLISH = link_words(["en"])


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    words = link_words([language])
    assert words.language == language
    assert words.texts.keys() == ENGLISH.texts.keys()
    for name, text in words.texts.items():
        assert text.strip() == text != ""
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", ENGLISH.texts[name])), name


@pytest.mark.parametrize("language", languages())
def test_terms_enclose_the_date(language: str) -> None:
    words = link_words([language])
    assert "{date}".join(words.terms) == words.texts["terms"]


def test_first_language_that_there_is_wins() -> None:
    assert link_words(["xx", "pt-BR", "de"]).language == "pt"
    assert link_words(["zh-TW"]).language == "zh-Hans", "region and script are ignored"
    assert link_words([]).language == link_words(["tlh"]).language == "en"


def test_direction_follows_the_script() -> None:
    assert (link_words(["ar"]).direction, ENGLISH.direction) == ("rtl", "ltr")


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_preference_has_texts(preferred: list[str]) -> None:
    assert link_words(preferred).texts["terms"]


def test_every_file_is_a_language() -> None:
    folder = Path(module.__file__).with_name("link_words")
    assert {path.stem for path in folder.glob("*.json")} == set(languages())
    assert all(isinstance(json.loads(path.read_text(encoding="utf-8")), dict) for path in folder.iterdir())
