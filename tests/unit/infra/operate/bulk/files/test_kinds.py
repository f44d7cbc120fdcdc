"""Tests of reading files as spreadsheets and programs write them, into pass items."""

import codecs
import json
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from infra.operate.bulk.files.kinds import open_rows
from tests.support.bulk_files import TYPE, file, read


@pytest.mark.parametrize(
    "text",
    [
        '"Name, f\u00fcr, neu";serial_number\r\nAda;1\r\n',
        "Name, f\u00fcr, neu;serial_number\r\nAda;1\r\n",
        'sep=;\r\n"Name, f\u00fcr, neu";serial_number\r\nAda;1\r\n',
        '"sep=^"\r\nName, f\u00fcr, neu^serial_number\r\nAda^1\r\n',
        'SEP=,\n"Name, f\u00fcr, neu",serial_number\nAda,1\n',
        '"Name, f\u00fcr, neu"\tserial_number\nAda\t1\n',
        '"Name, f\u00fcr, neu"|serial_number\nAda|1\n',
        '"Name, f\u00fcr, neu";serial_number\rAda;1\r',
    ],
    ids=["quoted", "not quoted", "sep line", "unusual sep line", "sep line of commas", "tabs", "bars", "CR alone"],
)
def test_delimiter_is_detected_outside_quotes_and_by_the_sep_line(
    tmp_path: Path, templates: Templates, text: str
) -> None:
    found = read(file(tmp_path, text), templates, **{"Name, f\u00fcr, neu": "member"})
    assert (found.fields, found.refused) == ({"1": {"member": "Ada"}}, {})


def test_comma_in_values_is_not_the_delimiter_of_a_semicolon_file(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, "serial_number;member\n1;Lovelace, Ada\n2;Hopper, Grace\n"), templates)
    assert found.fields == {"1": {"member": "Lovelace, Ada"}, "2": {"member": "Hopper, Grace"}}


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_encoding_of_unicode_is_read(tmp_path: Path, templates: Templates, encoding: str, mark: str) -> None:
    """With and without a byte order mark. Excel's "Unicode text" is UTF-16 with tabs."""
    text = f"{mark}serial_number\tmember\r\n1\tZo\u00eb \U0001f600\r\n2\n".replace("\n2\n", "\n")
    found = read(file(tmp_path, text.encode(encoding)), templates)
    assert found.fields == {"1": {"member": "Zo\u00eb \U0001f600"}}
    row = {"serial_number": "1", "member": "Zo\u00eb"}
    lines = file(tmp_path, (mark + json.dumps(row, ensure_ascii=False)).encode(encoding), "members.jsonl")
    if mark and encoding in ("utf-8-sig", "utf-16", "utf-32"):
        return  # a second mark is not valid JSON
    assert read(lines, templates).fields == {"1": {"member": "Zo\u00eb"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            codecs.BOM_UTF16_LE + "serial_number\n1\n".encode("utf-16-le") + b"\x00\xd8a\0",
            "line 3: byte 0x00 is not UTF-16",
        ),
        (
            codecs.BOM_UTF16_LE + "serial_number\n1\n".encode("utf-16-le") + b"x",
            "line 3: ends in the middle of a character",
        ),
        (b"serial_number\r\n1\r\n2\xe9\r\n", "line 3: byte 0xe9 is not UTF-8.*iconv -f WINDOWS-1252"),
        (b"serial_number\r1\r2\xe9\r", "line 3: byte 0xe9 is not UTF-8"),
    ],
)
def test_byte_that_does_not_match_the_encoding_is_reported_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        open_rows(file(tmp_path, content))


def test_empty_columns_at_the_end_and_blank_rows_are_skipped(tmp_path: Path, templates: Templates) -> None:
    head = "serial_number,member,,\r\n1,Ada,,\r\n2,Bob\r\n3,Cy,\r\n"
    blank = ",,,\r\n , \r\n,\r\n\r\n"
    text = f"{head}{blank}4,Dee,,,,,\r\n,,,,,,,\r\n5,Eve,,x\r\n6\r\n"
    found = read(file(tmp_path, text), templates)
    assert sorted(found.items) == ["1", "2", "3", "4"]
    assert found.refused == {
        11: "has a value in column 4, which has no name in the header",
        12: "has 1 cells, the header has 2",
    }


def test_blank_rows_of_parquet_are_skipped(tmp_path: Path, templates: Templates) -> None:
    """Pandas writes nulls and NaN for the blank rows of a spreadsheet."""
    pq.write_table(
        pa.table({"serial_number": ["1", None, "3"], "visits": [1.0, float("nan"), 3.0]}), tmp_path / "m.parquet"
    )
    assert read(tmp_path / "m.parquet", templates).fields == {"1": {"visits": 1}, "3": {"visits": 3}}


@pytest.mark.parametrize("cell", ['="0012"', "=A1&B2", '=HYPERLINK("https://example.com")', "#N/A", "#REF!", "#DIV/0!"])
@pytest.mark.parametrize("column", ["serial_number", "member", "attributes.own"])
def test_formulas_and_errors_of_spreadsheets_are_refused_with_their_column(
    tmp_path: Path, templates: Templates, column: str, cell: str
) -> None:
    row = {"serial_number": "1", "member": "Ada", "attributes.own": "x", column: cell}
    quoted = ",".join('"' + value.replace('"', '""') + '"' for value in row.values())
    found = read(file(tmp_path, f"{','.join(row)}\n{quoted}\n2,Bob,y\n"), templates)
    assert sorted(found.items) == ["2"]
    assert f"column {column!r}: {cell!r} is a spreadsheet's" in found.refused[2]


def test_serial_number_that_a_spreadsheet_has_rounded_is_refused(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, "serial_number,member\n1.23457E+12,1E+20\n1E5,Bob\n1.5,Eve\n"), templates)
    assert sorted(found.items) == ["1.5", "1E5"]
    assert "'1.23457E+12' is a number that a spreadsheet has rounded" in found.refused[2]


def test_ignored_column_may_contain_formulas(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, "serial_number,member,sum\n1,Ada,=1+1\n"), templates, sum="")
    assert sorted(found.items) == ["1"]


NUMBERS = {
    "1e10000000": "out of DynamoDB's range",
    "1e5000": "out of DynamoDB's range",
    "1e126": "out of DynamoDB's range",
    "0.1234567890123456789012345678901234567890123": "has 43 digits; DynamoDB stores at most 38",
    "Infinity": "Infinity is not a JSON number",
    "NaN": "NaN is not a JSON number",
    '{"$dynamodb":{"N":"1_000"}}': "'1_000' is not a number",
    '{"$dynamodb":{"N":"\u0661"}}': "is not a number",
    '{"$dynamodb":{"N":"NaN"}}': "'NaN' is not a number",
    '{"$dynamodb":{"NS":["1","1e999"]}}': "out of DynamoDB's range",
}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("column", ["visits", "overrides.maxDistance", "attributes.own", "delete_after"])
def test_number_that_dynamodb_cannot_store_is_refused_with_row_and_column(
    tmp_path: Path, templates: Templates, number: str, column: str
) -> None:
    lines = [f'{{"serial_number": "1", "{column}": {number}}}', '{"serial_number": "2", "visits": 7}']
    found = read(file(tmp_path, "\n".join(lines), "members.jsonl"), templates)
    assert found.fields == {"2": {"visits": 7}}
    assert column in found.refused[1]
    assert NUMBERS[number] in found.refused[1]
    assert len(found.refused[1]) < 250


def test_file_with_only_such_numbers_still_has_columns(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, '{"serial_number": "1", "visits": 1e5000}', "members.jsonl"), templates)
    assert "visits: '1e5000' is out of DynamoDB's range" in found.refused[1]


@pytest.mark.parametrize("cell", ["1e10000000", "1e5000", "1" * 43, "0.1234567890123456789012345678901234567890123"])
@pytest.mark.parametrize("column", ["visits", "overrides.maxDistance", "delete_after"])
def test_cell_with_such_a_number_is_refused(tmp_path: Path, templates: Templates, column: str, cell: str) -> None:
    found = read(file(tmp_path, f"serial_number,{column}\n1,{cell}\n2,\n"), templates)
    assert sorted(found.items) == ["2"]
    assert column in found.refused[2]


@pytest.mark.parametrize(
    "cell", ["1_000", "\uff11\uff12", "\u0661\u0662", "NaN", "Infinity", "+1", " 1", "0x10", "012"]
)
@pytest.mark.parametrize(
    ("column", "message"), [("visits", "must be a number"), ("delete_after", "must be a whole number")]
)
def test_cell_that_only_python_parses_as_a_number_is_refused(
    tmp_path: Path, templates: Templates, column: str, message: str, cell: str
) -> None:
    found = read(file(tmp_path, f"serial_number,{column}\n1,{cell}\n"), templates)
    assert message in found.refused[2]


def test_numbers_within_the_limits_are_exact(tmp_path: Path, templates: Templates) -> None:
    own = '{"n": [1e125, 0.10, 12345678901234567890]}'
    text = f'{{"serial_number": 1, "visits": -0.0}}\n{{"serial_number": 2e1, "attributes": {own}}}'
    found = read(file(tmp_path, text, "members.jsonl"), templates)
    assert found.fields["1"] == {"visits": 0}
    assert found.items["20"]["n"] == [Decimal("1e125"), Decimal("0.1"), 12345678901234567890]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ('"member": "Ada", "member": "Eve"', "has the key 'member' more than once"),
        ('"fields": {"level": "Gold", "level": "Gold"}', "fields: has the key 'level' more than once"),
        ('"fields": {"level": {"value": 1, "value": 2}}', "fields.level: has the key 'value' more than once"),
    ],
)
def test_row_with_a_key_twice_is_refused(tmp_path: Path, templates: Templates, members: str, path: str) -> None:
    lines = ['{"serial_number": "1"}', f'{{"serial_number": "2", {members}}}', '{"serial_number": "3"}']
    found = read(file(tmp_path, "\n".join(lines), "members.jsonl"), templates)
    assert found.refused == {2: path}
    assert sorted(found.items) == ["1", "3"]


def test_cell_with_a_key_twice_is_refused(tmp_path: Path, templates: Templates) -> None:
    text = 'serial_number;member\n1;Ada\n2;{"value": "Ada", "value": "Eve"}\n'
    found = read(file(tmp_path, text), templates)
    assert list(found.refused) == [3]
    assert "'fields.member': has the key 'value' more than once" in found.refused[3]
    assert list(found.items) == ["1"]


def test_csv_row_with_a_nul_is_refused(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, "serial_number,member\n1,Ada\n2,A\0da\n3,Eve\n"), templates)
    assert list(found.refused) == [3]
    assert "NUL" in found.refused[3]
    assert sorted(found.items) == ["1", "3"]


@pytest.mark.parametrize("name", ["members.csv", "members.jsonl"])
def test_negative_time_of_deletion_is_refused(tmp_path: Path, templates: Templates, name: str) -> None:
    """DynamoDB would never delete the item."""
    rows = {
        "members.csv": "serial_number,delete_after\n1,1900000000\n2,-1\n",
        "members.jsonl": '\n{"serial_number":"1","delete_after":1900000000}\n{"serial_number":"2","delete_after":-1}\n',
    }
    found = read(file(tmp_path, rows[name], name), templates)
    assert list(found.refused) == [3]
    assert "-1 must be a whole number that is not negative" in found.refused[3]
    assert list(found.items) == ["1"]


def test_null_is_an_absent_value_in_every_map(tmp_path: Path, templates: Templates) -> None:
    rows = [
        {"serial_number": "1", "member": None},
        {"serial_number": "2", "fields": {"member": None, "level": {"value": "Gold", "label": None}}},
        {"serial_number": "3", "overrides": {"logoText": None}, "voided": None, "delete_after": None},
        {"serial_number": "4", "fields": None, "attributes": {"own": None}},
    ]
    found = read(file(tmp_path, "\n".join(map(json.dumps, rows)), "members.jsonl"), templates)
    assert found.refused == {}
    assert found.fields == {"1": {}, "2": {"level": {"value": "Gold"}}, "3": {}, "4": {}}
    assert found.items["4"]["own"] is None
    assert found.items["3"] == {"pass_id": f"{TYPE}/3", "template": "member", "overrides": {}}


def test_missing_pyarrow_is_reported_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(RefusedError, match="pip install pyarrow"):
        open_rows(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "serial_number,member\n1,Zoë\n2,Zoë\n".encode("cp1252"), r"line 2: byte 0xeb is not UTF-8.*iconv"),
        ("a.csv", b"serial_number\n" + b"1\n" * 600_000 + b"\xff\n", "line 600002: byte 0xff is not UTF-8"),
        ("a.csv", "serial_number,member\n1,Zoë"[:-1].encode() + b"\xc3", "line 2: ends in the middle of a character"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n\n", "first line must contain the column names"),
        ("a.csv", b"serial_number,serial_number\n", "each column a different name"),
        ("a.csv", b"x" * 5_000_000, "line 1: longer than 4,000,000 characters"),
        ("a.csv", b"   \n  \n", "first line must contain the column names"),
        ("a.jsonl", b'[{"serial_number": "1"}]\n', "line 1: is not a JSON object; write one JSON object per line"),
        ("a.jsonl", b'\n{"serial_number": "1",}\n', "line 2: .*; write one JSON object per line"),
        ("a.jsonl", b'{\n  "serial_number": "1"\n}\n', "line 1: .*; write one JSON object per line"),
        ("a.jsonl", b'{"serial_number": "1"}{"serial_number": "2"}\n', "line 1: .*; write one JSON object per line"),
        ("a.jsonl", b"{}\n", "line 1: has no members"),
        ("a.parquet", b"something else", "not a Parquet file"),
        ("a.xls", b"PK", "must end in one of .csv, .jsonl, .parquet, .xlsx; save it as .xlsx"),
        ("a.xlsx", b"PK", "not an Excel workbook"),
    ],
)
def test_invalid_file_is_one_clear_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RefusedError, match=message):
        open_rows(tmp_path / name)


def test_damaged_page_of_a_parquet_file_is_one_clear_error(tmp_path: Path, templates: Templates) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"serial_number": ["1", "2"], "member": ["Ada", "Grace"]}), path)
    content = bytearray(path.read_bytes())
    content[4:24] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"a damaged Parquet file \(.*\); save it again"):
        read(path, templates)


def test_column_name_of_a_parquet_file_that_is_not_utf8_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"serial_number": ["1"], "QZQZ": ["Ada"]}), path)
    path.write_bytes(path.read_bytes().replace(b"QZQZ", b"\xe5ZQZ"))
    with pytest.raises(RefusedError, match=r"not a Parquet file \("):
        open_rows(path)


def test_damaged_member_of_a_workbook_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.create_sheet(index=0).append(["serial_number"])
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("xl/styles.xml").header_offset + 60
    content = bytearray(path.read_bytes())
    content[start : start + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"not an Excel workbook \(.*\); save it again"):
        open_rows(path)


def test_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", "")
        archive.getinfo("xl/sharedStrings.xml").file_size = 501_000_000  # in the zip's directory, which is read first
    with pytest.raises(RefusedError, match="unpacks to 501,000,000 bytes"):
        open_rows(path)


def test_memory_does_not_grow_with_the_size_of_the_file(tmp_path: Path) -> None:
    """Reading a file of 10 MB needs some hundred kilobytes."""
    import tracemalloc  # noqa: PLC0415 - slows down all code while it is active

    path = tmp_path / "members.csv"
    with path.open("w") as file:
        file.write("serial_number,member\n")
        file.writelines(f"{number},{'x' * 90}\n" for number in range(100_000))
    found = open_rows(path)
    tracemalloc.start()
    count = sum(1 for _ in zip(found.rows(), range(2_000), strict=False))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2_000
    assert peak < 1_000_000
