"""Words that Wallet itself writes on a pass, in ten languages; other languages have the English ones.

Labels of semantic boarding passes and poster event tickets come from Wallet, not from the pass. Their exact words are
not published: words.json has the usual ones, and the numerals that `numerals` composes.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

RIGHT_TO_LEFT = ("ar", "arc", "ckb", "dv", "fa", "he", "iw", "ks", "ps", "sd", "ug", "ur", "yi")
"""Languages whose phones mirror a pass."""


def words_of(language: str) -> Mapping[str, str]:
    """Return Wallet's words by name, in a language such as `de-CH`."""
    words = all_words()
    return words.get(base_language(language), words["en"])


def direction_of(language: str) -> str:
    """Return the direction of a language's script for HTML: `rtl` or `ltr`."""
    return "rtl" if base_language(language) in RIGHT_TO_LEFT else "ltr"


def base_language(language: str) -> str:
    """Return a language without its region and script."""
    return language.replace("_", "-").partition("-")[0].lower()


@cache
def all_words() -> Mapping[str, Mapping[str, str]]:
    """Return the words by language and name."""
    words: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))
    return words
