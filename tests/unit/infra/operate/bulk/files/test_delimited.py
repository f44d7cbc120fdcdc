"""Tests of CSV files: their delimiter, their records, and refused rows."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.operate.bulk.files.base import FileError
from infra.operate.bulk.files.delimited import DELIMITERS, CsvFile

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff\r"), min_size=1, max_size=6).filter(str.strip)


def opened(folder: Path, text: str) -> CsvFile:
    path = folder / "m.csv"
    path.write_text(text, newline="")
    return CsvFile(path)


@given(
    rows=st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=4),
    delimiter=st.sampled_from(DELIMITERS),
)
def test_written_rows_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n").writerows([["a", "b", "c"], *rows])
    file = opened(tmp_path_factory.getbasetemp(), f"sep={delimiter}\n{text.getvalue()}")
    assert [list(row.values.values()) for row in file.rows()] == rows


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_delimiter_is_that_which_divides_all_rows_alike(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(record) for record in (("a", "b"), ('"1,5;|"', "x"), ("2", "y")))
    assert [dict(row.values) for row in opened(tmp_path, text).rows()] == [
        {"a": "1,5;|", "b": "x"},
        {"a": "2", "b": "y"},
    ]


def test_record_may_span_lines_and_blank_ones_are_skipped(tmp_path: Path) -> None:
    rows = list(opened(tmp_path, 'a,b\n"1\n2",x\n,\n3,y').rows())
    assert [(row.number, row.line, row.values["a"]) for row in rows] == [(1, 2, "1\n2"), (2, 5, "3")]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("1", "has 1 cells, the header has 2"),
        ("1,2,3", "has 3 cells, the header has 2"),
        ("1,\0", "contains a NUL character"),
        ('1,"2', "is not valid CSV: unexpected end of data"),
    ],
)
def test_record_that_does_not_match_has_a_problem_and_the_next_is_read(
    tmp_path: Path, record: str, problem: str
) -> None:
    first, *_, last = opened(tmp_path, f"a,b\n{record}\n8,9\n").rows()
    assert first.problem.startswith(problem)
    assert last.values == {"a": "8", "b": "9"}


def test_value_in_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    one, two = opened(tmp_path, "a,b,,\n1,2,,\n1,2,,x\n").rows()
    assert (one.problem, two.problem) == ("", "has a value in column 4, which has no name in the header")


@pytest.mark.parametrize("header", ["", " , ", "a,a", "a,,b"])
def test_header_must_name_every_column(tmp_path: Path, header: str) -> None:
    with pytest.raises(FileError, match="the first line must"):
        opened(tmp_path, f"{header}\n1,2,3\n")


def test_refused_row_is_as_written_and_without_tokens(tmp_path: Path) -> None:
    file = opened(tmp_path, 'sep=;\nserial_number;secret\n1;"t;"\n2;t\n')
    one, two = file.rows()
    assert file.rejects_header() == 'sep=;\npasswire_line;"passwire_reason";serial_number;secret\n'
    assert file.rejected(one, 'a "b"') == '3;"a ""b""";1;"t;"\n'
    assert file.rejected(two, "bad", token_columns=["secret"]) == '4;"bad";2;(left out)\n'
