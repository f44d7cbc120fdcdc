"""Tests of `pass export`, and of importing exported files."""

import json
import os
import secrets
import stat
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest

from chalicelib.aws.templates import Templates
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.operate.bulk.exporting import Exported, export_passes
from infra.stage.stage import Stage
from tests.support.bulk_files import FORMATS, TYPE, imports
from tests.support.command_line import COMMAND


def fill(table: str, items: dict[str, dict[str, Any]]) -> None:
    for serial_number, item in items.items():
        boto3.resource("dynamodb").Table(table).put_item(Item={"pass_id": f"{TYPE}/{serial_number}", **item})


def empty(table: str) -> dict[str, dict[str, Any]]:
    """Delete all items and return them by pass id, with binary values as bytes."""
    resource = boto3.resource("dynamodb").Table(table)
    items = {item["pass_id"]: item for item in resource.scan(ConsistentRead=True)["Items"]}
    for pass_id in items:
        resource.delete_item(Key={"pass_id": pass_id})
    return {pass_id: plain(item) for pass_id, item in items.items()}


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of DynamoDB
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


@FORMATS
def test_exported_passes_are_imported_unchanged(
    table: str, folder: Path, tmp_path: Path, suffix: str, normalize: Callable[[Any], Any]
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
    path = tmp_path / f"passes.{suffix}"
    assert exports(table, path, folder, leave_out=()) == Exported(3, 0)
    before = empty(table)
    assert imports(path, table, folder, pass_type=None).written == 3
    after = empty(table)
    assert {pass_id: normalize(item) for pass_id, item in after.items()} == {
        pass_id: normalize(item) for pass_id, item in before.items()
    }


def test_tokens_are_left_out_and_counted_unless_requested(table: str, folder: Path, tmp_path: Path) -> None:
    fill(table, {"1": {"template": "member", "authentication_token": "0123456789abcdef"}, "2": {"template": "member"}})
    path = tmp_path / "passes.csv"
    assert exports(table, path, folder) == Exported(2, 1)
    assert "0123456789abcdef" not in path.read_text()
    assert exports(table, path, folder, leave_out=()) == Exported(2, 0)
    assert "0123456789abcdef" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_table_of_many_pages_is_exported_completely(table: str, folder: Path, tmp_path: Path) -> None:
    with boto3.resource("dynamodb").Table(table).batch_writer() as batch:
        for number in range(200):
            fields = {"member": "x" * 40_000, "visits": number}
            batch.put_item(Item={"pass_id": f"{TYPE}/{number}", "template": "member", "fields": fields})
    assert exports(table, tmp_path / "a.parquet", folder).passes == 200
    assert sorted(map(int, pq.read_table(tmp_path / "a.parquet")["fields.visits"].to_pylist())) == list(range(200))


def test_invalid_item_is_exported_as_it_is(table: str, folder: Path, tmp_path: Path) -> None:
    fill(table, {"1": {"template": "unknown", "fields": "text"}, "2": {"fields": {"x": None}}})
    exports(table, tmp_path / "a.csv", folder)
    assert sorted((tmp_path / "a.csv").read_text().splitlines()) == [
        f'{TYPE}/1,unknown,"""text"""',
        f'{TYPE}/2,,"{{""x"":null}}"',
        "pass_id,template,fields",
    ]


def test_failed_export_keeps_the_existing_file(table: str, folder: Path, tmp_path: Path, stack: LocalRun) -> None:
    path = tmp_path / "passes.jsonl"
    path.write_text("yesterday\n")
    fill(table, {str(number): {"template": "member"} for number in range(5)})
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    with pytest.raises(Exception, match="Could not connect"):
        exports(table, path, folder)
    os.environ["AWS_ENDPOINT_URL"] = stack.aws_endpoint_url

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        export_passes(Stage("test", {"PassesTableName": table}), path, Templates(folder=folder), on_rows=full)
    assert path.read_text() == "yesterday\n"
    assert list(tmp_path.iterdir()) == [path]


def test_command_writes_all_passes_and_warns_of_missing_tokens(stack: LocalRun, tmp_path: Path) -> None:
    passes = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = f"{stack.pass_type_identifier}/{secrets.token_hex(4)}"
    item = {"pass_id": pass_id, "template": "boarding", "fields": {"gate": "B22"}}
    passes.put_item(Item={**item, "authentication_token": "0123456789abcdef"})
    command = [*COMMAND, "pass", "export", str(tmp_path / "a.jsonl"), "--stage", stack.stage]
    done = subprocess.run([*command, "--json"], cwd=PROJECT, capture_output=True, text=True, check=True)
    passes.delete_item(Key={"pass_id": pass_id})
    report = json.loads(done.stdout)
    assert report["tokens_left_out"] >= 1
    assert "their phones can no longer authenticate" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(rows) == report["passes"]
    assert item in rows
