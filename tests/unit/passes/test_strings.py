"""`pass.strings` in every form that editors write it in."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.strings import StringsError, parse_strings

TEXT = '"gate" = "Gäte";\n'


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode("utf-8"),
        codecs.BOM_UTF8 + TEXT.encode("utf-8"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16", "utf-16 big endian", "utf-16-le no mark", "utf-16-be no mark"],
)
def test_every_encoding_that_editors_write_is_read(raw: bytes) -> None:
    assert parse_strings(raw) == {"gate": "Gäte"}


def test_comments_escapes_several_lines_and_bare_keys_are_read_as_foundation_does() -> None:
    raw = rb"""/* a "comment" */ "a" = "say \"hi\"\n\U00e4"; // another
    bare_key = "it's
two lines"; "b"="";"""
    assert parse_strings(raw) == {"a": 'say "hi"\nä', "bare_key": "it's\ntwo lines", "b": ""}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'"a" = "b"', "line 1: the file ends inside"),
        (b'"a" = "b";\n"c" "d";', "line 2: expected"),
        (b'"a" = "b\n', "line 1"),
        (b"\xe4\xf6", "is not UTF-8"),
        (b'<?xml version="1.0"?>', "line 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(raw: bytes, said: str) -> None:
    with pytest.raises(StringsError, match=said):
        parse_strings(raw)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
"""A NUL is what UTF-16 without a byte order mark is known by, and in no text that people see."""


@given(st.dictionaries(TEXTS, TEXTS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_whatever_texts_are_written_are_read_back(texts: dict[str, str], encoding: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    written = "".join(f"{quoted(key)} = {quoted(text)};\n" for key, text in texts.items())
    assert parse_strings(written.encode(encoding)) == texts
