"""Many passes into a file, and back: what comes back is what was there."""

import json
import os
import secrets
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.aws.templates import Templates
from chalicelib.passes.item import PassItem
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.exporting import Exported, export_passes, write_passes
from infra.operate.bulk.rows import open_rows
from infra.stage.stage import Stage
from tests.stack.infra.operate.bulk.test_import import TYPE, folder, imports, table

__all__ = ["folder", "table"]
SERIAL_NUMBERS = ("1", "Ä/2", '"3"')
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["", "12", "-0.5", "1e3", "{}", '{"value": 1}', "[1]", '"', 'a"b', "a,b;c\td", "a\r\nb", "\r", " x ", "true", "NaN"]
)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4)
FIELD_TEXTS = {"member": TEXTS, "level": TEXTS, "terms": TEXTS}
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **{key: texts | NUMBERS | st.fixed_dictionaries({"label": texts}) for key, texts in FIELD_TEXTS.items()},
        "visits": NUMBERS | st.fixed_dictionaries({"value": NUMBERS, "currencyCode": st.just("EUR")}),
        "since": st.just("2019-03-01T00:00:00Z"),
    },
)
OWN_REASONS = st.recursive(
    st.none()
    | st.booleans()
    | TEXTS
    | NUMBERS
    | st.binary(min_size=1, max_size=4)
    | st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=3)
    | st.sets(st.integers(-9, 9).map(Decimal), min_size=1, max_size=3)
    | st.sets(st.binary(min_size=1, max_size=3), min_size=1, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=4) | st.just("$dynamodb"), inner, max_size=3)
    ),
    max_leaves=5,
)
ITEMS = st.fixed_dictionaries(
    {"template": st.just("member")},
    optional={
        "fields": FIELDS,
        "overrides": st.fixed_dictionaries(
            {}, optional={"logoText": TEXTS, "maxDistance": NUMBERS, "userInfo": st.fixed_dictionaries({"x": TEXTS})}
        ),
        "voided": st.booleans(),
        "delete_after": st.integers(0, 2**40),
        "authentication_token": st.just("0123456789abcdef"),
        "own": OWN_REASONS,
        "template_revision": st.just("abc"),
    },
)


def fill(table: str, items: dict[str, dict[str, Any]]) -> None:
    for serial_number, item in items.items():
        boto3.resource("dynamodb").Table(table).put_item(Item={"pass_id": f"{TYPE}/{serial_number}", **item})


def empty(table: str) -> dict[str, dict[str, Any]]:
    """Take everything out, and say what it was, binaries as bytes."""
    of = boto3.resource("dynamodb").Table(table)
    items = {item["pass_id"]: item for item in of.scan(ConsistentRead=True)["Items"]}
    for pass_id in items:
        of.delete_item(Key={"pass_id": pass_id})
    return {pass_id: plain(item) for pass_id, item in items.items()}


def plain(value: Any) -> Any:  # noqa: ANN401 - of DynamoDB's
    if isinstance(value, boto3.dynamodb.types.Binary):
        return bytes(value)
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, set):
        return {plain(member) for member in value}
    return [plain(member) for member in value] if isinstance(value, list) else value


def exports(table: str, path: Path, folder: Path, **options: Any) -> Exported:  # noqa: ANN401
    return export_passes(
        Stage("test", {"PassesTableName": table}), path, Templates(folder=folder), on_rows=lambda _: None, **options
    )


def exactly(item: dict[str, Any]) -> object:
    return item


def as_a_pass(item: dict[str, Any]) -> object:
    """A cell's plain value may come back as `{"value": it}`, which is the same to a pass; all else is exact."""
    return PassItem.parse(item), {name: value for name, value in item.items() if name != "fields"}


FORMS = pytest.mark.parametrize(("ending", "seen"), [("jsonl", exactly), ("csv", as_a_pass), ("parquet", as_a_pass)])


@FORMS
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.fixed_dictionaries(dict.fromkeys(SERIAL_NUMBERS, ITEMS)))
def test_what_is_written_into_a_file_is_what_is_read_from_it(
    folder: Path, ending: str, seen: Callable[[Any], Any], items: dict[str, dict[str, Any]]
) -> None:
    pages = [[{"pass_id": f"{TYPE}/{serial_number}", **item}] for serial_number, item in items.items()]
    templates = Templates(folder=folder)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"passes.{ending}"
        assert write_passes(pages, path, templates, leave_out=(), on_rows=lambda _: None) == Exported(3, 0)
        file = open_rows(path)
        columns = Columns(mapping={}, pass_type=None, template=None, templates=templates, cells=file.cells)
        columns.take(file.columns)
        for row, (item,) in zip(file.rows(), pages, strict=True):
            assert not row.problem
            assert seen(columns.item(row.values)) == seen(item)


@FORMS
def test_what_is_exported_and_imported_is_what_was_there(
    table: str, folder: Path, tmp_path: Path, ending: str, seen: Callable[[Any], Any]
) -> None:
    own = {"set": {"a", "b"}, "binary": b"\0\xff", "numbers": {Decimal("0.1"), Decimal("1e20")}, "none": [None, {}]}
    fields = {"member": "{}", "level": Decimal(7), "visits": Decimal("12.50"), "terms": {"label": "T"}}
    fill(
        table,
        {
            "1": {"template": "member", "own": own, "fields": fields, "voided": False, "delete_after": 2**40},
            "Ä/2": {"template": "member", "authentication_token": "0123456789abcdef", "template_revision": "abc"},
            '"3"': {"template": "member", "fields": {"member": "\r", "level": "", "terms": 'a\r\nb,"c";d'}},
        },
    )
    path = tmp_path / f"passes.{ending}"
    assert exports(table, path, folder, leave_out=()) == Exported(3, 0)
    before = empty(table)
    assert imports(path, table, folder, pass_type=None).written == 3
    after = empty(table)
    assert {pass_id: seen(item) for pass_id, item in after.items()} == {
        pass_id: seen(item) for pass_id, item in before.items()
    }


def test_tokens_are_left_out_and_counted_unless_they_are_asked_for(table: str, folder: Path, tmp_path: Path) -> None:
    fill(table, {"1": {"template": "member", "authentication_token": "0123456789abcdef"}, "2": {"template": "member"}})
    path = tmp_path / "passes.csv"
    assert exports(table, path, folder) == Exported(2, 1)
    assert "0123456789abcdef" not in path.read_text()
    assert exports(table, path, folder, leave_out=()) == Exported(2, 0)
    assert "0123456789abcdef" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_table_of_many_pages_is_exported_whole(table: str, folder: Path, tmp_path: Path) -> None:
    with boto3.resource("dynamodb").Table(table).batch_writer() as batch:
        for number in range(200):
            fields = {"member": "x" * 40_000, "visits": number}
            batch.put_item(Item={"pass_id": f"{TYPE}/{number}", "template": "member", "fields": fields})
    assert exports(table, tmp_path / "a.parquet", folder).passes == 200
    assert sorted(map(int, pq.read_table(tmp_path / "a.parquet")["fields.visits"].to_pylist())) == list(range(200))


def test_a_broken_item_is_exported_as_it_is(table: str, folder: Path, tmp_path: Path) -> None:
    fill(table, {"1": {"template": "nobodys", "fields": "text"}, "2": {"fields": {"x": None}}})
    exports(table, tmp_path / "a.csv", folder)
    assert sorted((tmp_path / "a.csv").read_text().splitlines()) == [
        f'{TYPE}/1,nobodys,"""text"""',
        f'{TYPE}/2,,"{{""x"":null}}"',
        "pass_id,template,fields",
    ]


def test_an_export_that_fails_leaves_the_file_that_was_there(
    table: str, folder: Path, tmp_path: Path, stack: LocalRun
) -> None:
    path = tmp_path / "passes.jsonl"
    path.write_text("of yesterday\n")
    fill(table, {str(number): {"template": "member"} for number in range(5)})
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    with pytest.raises(Exception, match="Could not connect"):
        exports(table, path, folder)
    os.environ["AWS_ENDPOINT_URL"] = stack.aws_endpoint_url

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        export_passes(Stage("test", {"PassesTableName": table}), path, Templates(folder=folder), on_rows=full)
    assert path.read_text() == "of yesterday\n"
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_writes_what_the_import_command_reads(stack: LocalRun, tmp_path: Path) -> None:
    passes = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = f"{stack.pass_type_identifier}/{secrets.token_hex(4)}"
    item = {"pass_id": pass_id, "template": "boarding", "fields": {"gate": "B22"}}
    passes.put_item(Item={**item, "authentication_token": "0123456789abcdef"})
    command = [sys.executable, "-m", "infra", "pass", "export", str(tmp_path / "a.jsonl"), "--stage", stack.stage]
    done = subprocess.run([*command, "--json"], cwd=PROJECT, capture_output=True, text=True, check=True)
    passes.delete_item(Key={"pass_id": pass_id})
    told = json.loads(done.stdout)
    assert told["tokens_left_out"] >= 1
    assert "would shut their phones out" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(rows) == told["passes"]
    assert item in rows
