"""Tests of `pass.strings` in the forms that editors write."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.strings import StringsError, parse_strings, pick_language, write_strings

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
def test_every_encoding_of_editors_is_read(raw: bytes) -> None:
    assert parse_strings(raw) == {"gate": "Gäte"}


def test_comments_escapes_several_lines_and_bare_keys_are_read_as_foundation_does() -> None:
    raw = rb"""/* a "comment" */ "a" = "say \"hi\"\n\U00e4"; // another
    bare_key = "it's
two lines"; "b"="";"""
    assert parse_strings(raw) == {"a": 'say "hi"\nä', "bare_key": "it's\ntwo lines", "b": ""}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'"a" = "b"', "line 1, column 10: the file ends inside"),
        (b'"a" = "b";\n"c" "d";', "line 2, column 5: expected"),
        (b'"a" = "b\n', "line 1, column 7: a text that does not end"),
        (b'"a" = "b"; /* c', "line 1, column 12: a comment that does not end"),
        (b'"a" =\n  "x\\Ud83c y";', r"line 2, column 5: is half of a character"),
        (b'"a" = "\\Ude00\\Ud83d";', "line 1, column 8: is half of a character"),
        (b'"a" = "\\Ud83d\\U0041";', "line 1, column 8: is half of a character"),
        (b'\xff\xfe"', "UTF-16"),
        (b"\xe4\xf6", "is not UTF-8"),
        (b'<?xml version="1.0"?>', "line 1"),
    ],
)
def test_invalid_file_is_refused_with_its_line(raw: bytes, message: str) -> None:
    with pytest.raises(StringsError, match=message):
        parse_strings(raw)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"Welcome \Ud83d\Ude00", "Welcome 😀"),
        (r"\U00e4\U0308\U20AC", "ä\u0308€"),
        (r"\a\b\f\n\r\t\v\"\'\\", "\a\b\f\n\r\t\v\"'\\"),
        (r"\101\40\12", "A \n"),
        (r"\331\341", "äÆ"),
        (r"\q\u0041", "qu0041"),
        (r"C:\\Users", "C:\\Users"),
    ],
)
def test_escapes_are_read_as_foundation_reads_them(written: str, text: str) -> None:
    assert parse_strings(f'"k" = "{written}";'.encode()) == {"k": text}


def test_single_quotes_and_keys_without_a_text_are_read_as_foundation_reads_them() -> None:
    assert parse_strings(b"'a' = 'say \"hi\"'; \"b\"; c;") == {"a": 'say "hi"', "b": "b", "c": "c"}


@pytest.mark.parametrize(
    ("available", "wanted", "picked"),
    [
        (["en", "de"], "de", "de"),
        (["en", "de"], "de-CH", "de"),
        (["en", "pt_BR"], "pt-br", "pt_BR"),
        (["en", "zh-Hans"], "zh-Hans-CN", "zh-Hans"),
        (["de", "en"], "fr", "en"),
        (["de", "Base"], "fr", "Base"),
        (["de", "it"], "fr", "de"),
        ([], "fr", None),
    ],
)
def test_language_is_picked_as_on_phones(available: list[str], wanted: str, picked: str | None) -> None:
    assert pick_language(available, wanted) == picked


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
"""Texts without NUL, by which UTF-16 without a byte order mark is recognized."""


@given(st.dictionaries(TEXTS, TEXTS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_texts_in_any_encoding_are_read_back(texts: dict[str, str], encoding: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    written = "".join(f"{quoted(key)} = {quoted(text)};\n" for key, text in texts.items())
    assert parse_strings(written.encode(encoding)) == texts


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))))
def test_written_texts_are_read_back(texts: dict[str, str]) -> None:
    assert parse_strings(write_strings(texts)) == texts


@given(st.binary() | st.text("\\\"'=;/*Ud83c0 \n").map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        texts = parse_strings(raw)
    except StringsError as error:
        assert "line" in str(error)  # noqa: PT017 - either way is right
    else:
        assert "".join([*texts, *texts.values()]).encode() is not None
