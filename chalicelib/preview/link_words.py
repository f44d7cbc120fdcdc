"""Texts of the pages of download links, in ten languages: one file per language in the folder `link_words`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chalicelib.preview.words import base_language, direction_of

_FOLDER = Path(__file__).with_name("link_words")
_DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class LinkWords:
    """The texts of one language.

    Args:
        language: of the texts, for HTML.
        texts: by name; `terms` contains `{date}`.
    """

    language: str
    texts: Mapping[str, str]

    @property
    def direction(self) -> str:
        """Direction of the script: `ltr` or `rtl`."""
        return direction_of(self.language)

    @property
    def terms(self) -> tuple[str, str]:
        """The terms before and after the date."""
        before, _, after = self.texts["terms"].partition("{date}")
        return before, after


def languages() -> list[str]:
    """Return the languages that pages are written in."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def link_words(preferred: Sequence[str]) -> LinkWords:
    """Return the texts in the first preferred language that there is; English otherwise.

    Args:
        preferred: language ranges (RFC 4647), the reader's favorite first. Region and script are ignored.
    """
    by_base = {base_language(language): language for language in languages()}
    found = (by_base[base_language(language)] for language in preferred if base_language(language) in by_base)
    language = next(found, _DEFAULT)
    return LinkWords(language, _texts(language))


@cache
def _texts(language: str) -> Mapping[str, str]:
    texts: dict[str, str] = json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return texts
