"""Files as spreadsheets and programs really write them, read into items without AWS."""

import codecs
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import RefusedError
from infra.operate.bulk.cells import field_cell, from_json, read_field, to_json
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.importing import Plan, import_passes
from infra.operate.bulk.rows import open_rows
from infra.operate.passes.cli_values import CliValueError, read_fields, read_overrides
from infra.stage.stage import Stage
from tests.support import samples

TYPE = "pass.com.example"
TOKEN = "tokentokentokentoken"


@dataclass(frozen=True)
class Read:
    """What became of a file's rows: items by serial number, and reasons by line."""

    items: Mapping[str, Any]
    refused: Mapping[int, str]

    @property
    def fields(self) -> dict[str, Any]:
        return {serial_number: item.get("fields", {}) for serial_number, item in self.items.items()}


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """Of the template `member`: `visits` is a number, `member` and `level` are texts."""
    folder: Path = tmp_path_factory.mktemp("templates")
    (folder / "member.pass").mkdir()
    for path, data in samples.files_of("generic").items():
        (folder / "member.pass" / path).write_bytes(data)
    return Templates(folder=folder)


def read(path: Path, templates: Templates, **mapping: str) -> Read:
    rows = open_rows(path)
    columns = Columns(mapping=mapping, pass_type=TYPE, template="member", templates=templates, cells=rows.cells)
    columns.take(rows.columns)
    items: dict[str, Any] = {}
    refused: dict[int, str] = {}
    for row in rows.rows():
        if row.problem:
            refused[row.line] = row.problem
            continue
        try:
            item = columns.item(row.values)
        except RefusedError as error:
            refused[row.line] = str(error)
        else:
            items[item["pass_id"].removeprefix(f"{TYPE}/")] = item
    return Read(items, refused)


def file(tmp_path: Path, content: bytes | str, name: str = "members.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


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
def test_the_delimiter_is_found_outside_quotes_and_by_the_line_for_excel(
    tmp_path: Path, templates: Templates, text: str
) -> None:
    found = read(file(tmp_path, text), templates, **{"Name, f\u00fcr, neu": "member"})
    assert (found.fields, found.refused) == ({"1": {"member": "Ada"}}, {})


def test_a_comma_in_most_rows_is_not_the_delimiter_of_a_file_of_semicolons(
    tmp_path: Path, templates: Templates
) -> None:
    found = read(file(tmp_path, "serial_number;member\n1;Lovelace, Ada\n2;Hopper, Grace\n"), templates)
    assert found.fields == {"1": {"member": "Lovelace, Ada"}, "2": {"member": "Hopper, Grace"}}


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_is_read_in_every_encoding_of_unicode(
    tmp_path: Path, templates: Templates, encoding: str, mark: str
) -> None:
    """With a byte order mark or none; Excel's "Unicode text" is UTF-16 with tabs."""
    text = f"{mark}serial_number\tmember\r\n1\tZo\u00eb \U0001f600\r\n2\n".replace("\n2\n", "\n")
    found = read(file(tmp_path, text.encode(encoding)), templates)
    assert found.fields == {"1": {"member": "Zo\u00eb \U0001f600"}}
    row = {"serial_number": "1", "member": "Zo\u00eb"}
    lines = file(tmp_path, (mark + json.dumps(row, ensure_ascii=False)).encode(encoding), "members.jsonl")
    if mark and encoding in ("utf-8-sig", "utf-16", "utf-32"):
        return  # two marks are no JSON
    assert read(lines, templates).fields == {"1": {"member": "Zo\u00eb"}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            codecs.BOM_UTF16_LE + "serial_number\n1\n".encode("utf-16-le") + b"\x00\xd8a\0",
            "line 3: byte 0x00 is not UTF-16",
        ),
        (codecs.BOM_UTF16_LE + "serial_number\n1\n".encode("utf-16-le") + b"x", "line 3: ends in half a character"),
        (b"serial_number\r\n1\r\n2\xe9\r\n", "line 3: byte 0xe9 is not UTF-8.*iconv -f WINDOWS-1252"),
        (b"serial_number\r1\r2\xe9\r", "line 3: byte 0xe9 is not UTF-8"),
    ],
)
def test_what_is_not_in_its_encoding_is_named_with_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(RefusedError, match=told):
        open_rows(file(tmp_path, content))


def test_empty_columns_at_the_end_and_blank_rows_are_passed_over(tmp_path: Path, templates: Templates) -> None:
    head = "serial_number,member,,\r\n1,Ada,,\r\n2,Bob\r\n3,Cy,\r\n"
    blank = ",,,\r\n , \r\n,\r\n\r\n"
    text = f"{head}{blank}4,Dee,,,,,\r\n,,,,,,,\r\n5,Eve,,x\r\n6\r\n"
    found = read(file(tmp_path, text), templates)
    assert sorted(found.items) == ["1", "2", "3", "4"]
    assert found.refused == {
        11: "has a value in column 4, which the header gives no name",
        12: "has 1 cells, the header has 2",
    }


def test_blank_rows_of_parquet_are_passed_over(tmp_path: Path, templates: Templates) -> None:
    """As pandas writes them for the blank rows of a spreadsheet."""
    pq.write_table(
        pa.table({"serial_number": ["1", None, "3"], "visits": [1.0, float("nan"), 3.0]}), tmp_path / "m.parquet"
    )
    assert read(tmp_path / "m.parquet", templates).fields == {"1": {"visits": 1}, "3": {"visits": 3}}


@pytest.mark.parametrize("cell", ['="0012"', "=A1&B2", '=HYPERLINK("https://example.com")', "#N/A", "#REF!", "#DIV/0!"])
@pytest.mark.parametrize("column", ["serial_number", "member", "attributes.own"])
def test_what_a_spreadsheet_left_in_a_cell_is_refused_with_its_column(
    tmp_path: Path, templates: Templates, column: str, cell: str
) -> None:
    row = {"serial_number": "1", "member": "Ada", "attributes.own": "x", column: cell}
    quoted = ",".join('"' + value.replace('"', '""') + '"' for value in row.values())
    found = read(file(tmp_path, f"{','.join(row)}\n{quoted}\n2,Bob,y\n"), templates)
    assert sorted(found.items) == ["2"]
    assert f"column {column!r}: {cell!r} is a spreadsheet's" in found.refused[2]


def test_a_column_that_is_left_out_may_hold_formulas(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, "serial_number,member,sum\n1,Ada,=1+1\n"), templates, sum="")
    assert sorted(found.items) == ["1"]


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(["=1+1", "#N/A", "{}", "1"])
)
def test_an_exported_text_is_never_a_formula_and_comes_back_as_it_was(text: str) -> None:
    cell = field_cell(None, "member", text)
    assert not cell.startswith("=")
    assert read_field(None, "member", cell) in (text, {"value": text})


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
def test_a_number_that_dynamodb_does_not_hold_is_refused_with_row_and_column(
    tmp_path: Path, templates: Templates, number: str, column: str
) -> None:
    lines = [f'{{"serial_number": "1", "{column}": {number}}}', '{"serial_number": "2", "visits": 7}']
    found = read(file(tmp_path, "\n".join(lines), "members.jsonl"), templates)
    assert found.fields == {"2": {"visits": 7}}
    assert column in found.refused[1]
    assert NUMBERS[number] in found.refused[1]
    assert len(found.refused[1]) < 250


def test_a_file_whose_rows_all_hold_such_numbers_still_has_its_columns(tmp_path: Path, templates: Templates) -> None:
    found = read(file(tmp_path, '{"serial_number": "1", "visits": 1e5000}', "members.jsonl"), templates)
    assert "visits: '1e5000' is out of DynamoDB's range" in found.refused[1]


@pytest.mark.parametrize("cell", ["1e10000000", "1e5000", "1" * 43, "0.1234567890123456789012345678901234567890123"])
@pytest.mark.parametrize("column", ["visits", "overrides.maxDistance", "delete_after"])
def test_a_cell_with_such_a_number_is_refused(tmp_path: Path, templates: Templates, column: str, cell: str) -> None:
    found = read(file(tmp_path, f"serial_number,{column}\n1,{cell}\n2,\n"), templates)
    assert sorted(found.items) == ["2"]
    assert column in found.refused[2]


@pytest.mark.parametrize(
    "cell", ["1_000", "\uff11\uff12", "\u0661\u0662", "NaN", "Infinity", "+1", " 1", "0x10", "012"]
)
@pytest.mark.parametrize(
    ("column", "told"), [("visits", "must be a number"), ("delete_after", "must be a whole number")]
)
def test_a_cell_that_only_python_reads_as_a_number_is_refused(
    tmp_path: Path, templates: Templates, column: str, told: str, cell: str
) -> None:
    found = read(file(tmp_path, f"serial_number,{column}\n1,{cell}\n"), templates)
    assert told in found.refused[2]


def test_numbers_within_the_limits_are_exact(tmp_path: Path, templates: Templates) -> None:
    own = '{"n": [1e125, 0.10, 12345678901234567890]}'
    text = f'{{"serial_number": 1, "visits": -0.0}}\n{{"serial_number": 2e1, "attributes": {own}}}'
    found = read(file(tmp_path, text, "members.jsonl"), templates)
    assert found.fields["1"] == {"visits": 0}
    assert found.items["20"]["n"] == [Decimal("1e125"), Decimal("0.1"), 12345678901234567890]


@pytest.mark.parametrize("number", [n for n in NUMBERS if "$" not in n] + ["1" * 5000, "[" * 100_000])
def test_such_numbers_are_refused_on_the_command_line(number: str) -> None:
    with pytest.raises(CliValueError, match=r"points:="):
        read_fields([f"points:={number}"])
    with pytest.raises(CliValueError):
        read_overrides(f'{{"maxDistance": {number}}}')


def test_null_is_an_absent_value_in_whatever_map_it_is(tmp_path: Path, templates: Templates) -> None:
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


def rejects_of(path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch, **mapping: str) -> Path:
    """Import a file whose rows are all refused; the file of these."""
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "eu-central-1")
    plan = Plan(Stage("test", {"PassesTableName": "nowhere"}), pass_type=TYPE, template="member", mapping=mapping)
    done = import_passes(open_rows(path), plan, templates, on_rows=lambda _: None, on_progress=print)
    assert done.written == 0
    assert done.rejects is not None
    return done.rejects


CSV = f'serial_number,visits,authentication_token,member\n1,many,{TOKEN},"A, B"\n2,1,{TOKEN}\n3,1,{TOKEN},"x\n'
JSONL = "\n".join(
    [
        f'{{"serial_number": "1", "visits": "many", "authentication_token": "{TOKEN}", "member": "A, B"}}',
        f'{{"serial_number": "2", "visits": 1e999, "authentication_token": "{TOKEN}"}}',
        f'{{"serial_number": "3", "authentication_token": "{TOKEN}"',
        f'{{"serial_number": "4", "visits": "many", "attributes": {{"authentication_token": "{TOKEN}"}}}}',
    ]
)


@pytest.mark.parametrize(("name", "content"), [("m.csv", CSV), ("m.jsonl", JSONL)])
@pytest.mark.parametrize("column", ["authentication_token", "secret"])
def test_refused_rows_are_private_and_without_authentication_tokens(
    tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch, name: str, content: str, column: str
) -> None:
    mapping = {} if column == "authentication_token" else {column: "authentication_token"}
    given = content.replace("authentication_token", column).replace(f'{{"{column}', '{"authentication_token')
    rejects = rejects_of(file(tmp_path, given, name), templates, monkeypatch, **mapping)
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    text = rejects.read_text()
    assert TOKEN not in text
    assert "A, B" in text
    assert "many" in text
    mended = file(tmp_path, text.replace('"many"', "7").replace("many", "7"), f"mended-{name}")
    again = read(mended, templates, **mapping)
    assert again.items == {}, "a pass without its own token would shut its phones out"
    assert "was left out of the file of refused rows" in " ".join(again.refused.values())
    restored = file(
        tmp_path, text.replace('"many"', "7").replace("many", "7").replace("(left out)", TOKEN), f"restored-{name}"
    )
    assert read(restored, templates, **mapping).items["1"]["authentication_token"] == TOKEN


def test_refused_rows_without_tokens_stand_there_as_they_were(
    tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'sep=;\nserial_number;visits\n1;many\n2;"x\n'
    rejects = rejects_of(file(tmp_path, text), templates, monkeypatch)
    assert [line.rpartition('";')[2] for line in rejects.read_text().splitlines()[2:]] == ["1;many", '2;"x']
    number = '{"serial_number": "1",  "visits": 0.1234567890123456789012345678901234567890123}'
    rejects = rejects_of(file(tmp_path, number, "m.jsonl"), templates, monkeypatch)
    assert rejects.read_text().endswith(f",{number[1:]}\n")
    mended = file(
        tmp_path, rejects.read_text().replace("0.1234567890123456789012345678901234567890123", "5"), "n.jsonl"
    )
    assert read(mended, templates).fields == {"1": {"visits": 5}}


def test_a_reject_file_that_others_could_read_becomes_private(
    tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, "serial_number,visits\n1,many\n")
    left = tmp_path / "members.rejected.csv"
    left.touch(0o644)
    rejects_of(path, templates, monkeypatch)
    assert stat.S_IMODE(left.stat().st_mode) == 0o600


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-(10**37), 10**37)
VALUES = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), INTEGERS, TEXTS, st.binary(), st.sets(TEXTS, min_size=1)),
        *(st.sets(INTEGERS, min_size=1), st.decimals(-(10**20), 10**20, allow_nan=False, places=8)),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("$dynamodb"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_the_json_of_an_item_is_read_back_exactly(value: object) -> None:
    assert from_json(to_json(value)) == value
