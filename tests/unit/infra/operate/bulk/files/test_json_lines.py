"""Tests of files with one JSON object per line."""

from pathlib import Path

import pytest

from infra.operate.bulk.files.base import FileError
from infra.operate.bulk.files.json_lines import MAX_COLUMNS, JsonLinesFile


def opened(folder: Path, text: str) -> JsonLinesFile:
    path = folder / "m.jsonl"
    path.write_text(text)
    return JsonLinesFile(path)


def test_columns_are_the_keys_of_all_lines(tmp_path: Path) -> None:
    file = opened(tmp_path, '{"a": 1}\n\n{"b": [true], "a": null}\n')
    assert file.columns == ("a", "b")
    assert [(row.number, row.line, row.values) for row in file.rows()] == [
        (1, 1, {"a": 1}),
        (2, 3, {"b": [True], "a": None}),
    ]


def test_line_that_is_not_an_object_has_a_problem(tmp_path: Path) -> None:
    rows = list(opened(tmp_path, '{"a": 1}\n[1]\n{"a": 1\n{"a": NaN}').rows())
    assert [bool(row.problem) for row in rows] == [False, True, True, True]
    assert rows[1].problem == "is not a JSON object"
    assert [row.text for row in rows[1:]] == ["[1]", '{"a": 1', '{"a": NaN}']


def test_refused_row_keeps_its_values_or_its_text(tmp_path: Path) -> None:
    file = opened(tmp_path, '{"a": 1}\n[1]\n{"a": 1e999}')
    kept, other, number = (file.rejected(row, "bad") for row in file.rows())
    assert kept == '{"passwire_line":1,"passwire_reason":"bad","a":1}\n'
    assert other == '{"passwire_line":2,"passwire_reason":"bad","passwire_text":"[1]"}\n'
    assert number == '{"passwire_line":3,"passwire_reason":"bad","a": 1e999}\n', "a number is kept as written"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]\n", "line 1: is not a JSON object; write one JSON object per line"),
        ("{}\n", "line 1: has no members"),
        (
            "".join(f'{{"k{number}": 1}}\n' for number in range(MAX_COLUMNS + 1)),
            "line 10001: more than 10,000 different",
        ),
    ],
    ids=["list", "empty", "many keys"],
)
def test_file_without_usable_columns_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        opened(tmp_path, text)
