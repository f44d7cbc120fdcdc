"""Tests of the encodings and the lines of text files."""

from pathlib import Path

import pytest

from infra.operate.bulk.files.base import FileError
from infra.operate.bulk.files.json_lines import JsonLinesFile
from infra.operate.bulk.files.text import Lines

TEXT = '{"gate": "ä€"}\r\n{"gate": "👍"}\n{"gate": "last"}'
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encoding_is_detected_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(TEXT.encode(encoding))
    assert [row.values["gate"] for row in JsonLinesFile(path).rows()] == ["ä€", "👍", "last"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\n{"a": "\xe4"}', "line 2: byte 0xe4 is not UTF-8; .* iconv -f WINDOWS-1252"),
        ("\ufeff{}".encode("utf-16-le")[:-1], "line 1: ends in the middle of a character"),
        (b"{}\n" + b"x" * 4_000_001, "line 2: longer than 4,000,000 characters"),
    ],
    ids=["other encoding", "cut", "long line"],
)
def test_text_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(data)
    with pytest.raises(FileError, match=message):
        JsonLinesFile(path)


def test_lines_can_be_returned_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(b"a\r\nb\nc")
    with Lines(path, encoding="utf-8", newline="") as lines:
        first, second = next(lines), next(lines)
        assert (first, second, lines.number) == ("a\r\n", "b\n", 2)
        lines.give_back([first, second])
        assert lines.number == 0
        assert list(lines) == ["a\r\n", "b\n", "c"]
        assert (lines.number, lines.position) == (3, 6)
