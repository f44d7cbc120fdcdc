"""Tests of numbers as words. Expected words are those of ICU's "spellout-cardinal" in these languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.preview.numerals import spelled_out

LANGUAGES = ("en", "de", "fr", "es", "it")


@pytest.mark.parametrize(
    ("language", "number", "words"),
    [
        ("en", 0, "zero"),
        ("en-GB", 1234567, "one million two hundred thirty-four thousand five hundred sixty-seven"),
        ("en", -2.5, "minus two point five"),
        ("de", 1, "eins"),
        ("de-CH", 1121, "eintausendeinhunderteinundzwanzig"),
        ("de", 1_000_000, "eine Million"),
        ("fr", 71, "soixante-et-onze"),
        ("fr", 80, "quatre-vingts"),
        ("fr", 81_000, "quatre-vingt-un mille"),
        ("fr", 200, "deux cents"),
        ("es", 21, "veintiuno"),
        ("es", 31_000, "treinta y un mil"),
        ("es", 100, "cien"),
        ("it", 28, "ventotto"),
        ("it", 1_000, "mille"),
    ],
)
def test_number_is_spelled_out(language: str, number: float, words: str) -> None:
    assert spelled_out(number, language) == words


@given(language=st.sampled_from(LANGUAGES), numbers=st.sets(st.integers(0, 999_999_999), min_size=2, max_size=2))
def test_different_numbers_have_different_words(language: str, numbers: set[int]) -> None:
    assert len({spelled_out(number, language) for number in numbers}) == 2


@pytest.mark.parametrize(("language", "number"), [("ja", 5), ("", 5), ("en", 10**9), ("en", float("nan"))])
def test_unknown_language_or_number_has_no_words(language: str, number: float) -> None:
    assert spelled_out(number, language) is None
