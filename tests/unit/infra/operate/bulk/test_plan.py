"""Tests of the items of a file's rows."""

from pathlib import Path

import pytest

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import ConfigurationError
from infra.operate.bulk.files.kinds import open_rows
from infra.operate.bulk.plan import ImportPlan, columns_of, item_of
from infra.stage.stage import Stage
from tests.support.bulk_files import TYPE, file

STAGE = Stage("test", {"PassesTableName": "t"})


def test_each_row_is_an_item_or_has_a_reason(tmp_path: Path, templates: Templates) -> None:
    rows = open_rows(file(tmp_path, 'serial_number,visits\n1,2\n2,many\n3,"x\n'))
    columns = columns_of(rows, ImportPlan(STAGE, pass_type=TYPE, template="member"), templates)
    (item, _), (no_item, invalid), (nothing, torn) = (item_of(row, columns) for row in rows.rows())
    assert item is not None
    assert (item["pass_id"], item["fields"]) == (f"{TYPE}/1", {"visits": 2})
    assert (no_item, nothing) == (None, None)
    assert "visits" in invalid
    assert torn == "is not valid CSV: unexpected end of data"


def test_pass_type_that_cannot_be_signed_is_refused_before_the_first_row(tmp_path: Path, templates: Templates) -> None:
    def refuse(pass_type: str) -> None:
        raise ConfigurationError(f"pass type {pass_type}: has no certificate")

    plan = ImportPlan(STAGE, pass_type=TYPE, template="member", check_pass_type=refuse)
    with pytest.raises(ConfigurationError, match="has no certificate"):
        columns_of(open_rows(file(tmp_path, "serial_number\n1\n")), plan, templates)


def test_table_is_that_of_the_stage() -> None:
    assert ImportPlan(STAGE).table_name == "t"
