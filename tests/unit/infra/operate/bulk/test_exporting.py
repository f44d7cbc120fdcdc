"""Tests of writing items to files: what is read back is what was written."""

import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.aws.templates import Templates
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.exporting import Exported, write_passes
from infra.operate.bulk.files.base import FileError
from infra.operate.bulk.files.kinds import open_rows
from tests.support.bulk_files import FORMATS, TYPE

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
OWN_ATTRIBUTES = st.recursive(
    st.none()
    | st.booleans()
    | TEXTS
    | NUMBERS
    | st.binary(min_size=1, max_size=4)
    | st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=3)
    | st.sets(st.integers(-9, 9).map(Decimal), min_size=1, max_size=3)
    | st.sets(st.binary(min_size=1, max_size=3), min_size=1, max_size=3),
    lambda members: (
        st.lists(members, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=4) | st.just("$dynamodb"), members, max_size=3)
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
        "own": OWN_ATTRIBUTES,
        "template_revision": st.just("abc"),
    },
)


@FORMATS
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.fixed_dictionaries(dict.fromkeys(SERIAL_NUMBERS, ITEMS)))
def test_written_items_are_read_back_unchanged(
    templates: Templates, suffix: str, normalize: Callable[[Any], Any], items: dict[str, dict[str, Any]]
) -> None:
    pages = [[{"pass_id": f"{TYPE}/{serial_number}", **item}] for serial_number, item in items.items()]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"passes.{suffix}"
        assert write_passes(pages, path, templates, leave_out=(), on_rows=lambda _: None) == Exported(3, 0)
        file = open_rows(path)
        columns = Columns(mapping={}, pass_type=None, template=None, templates=templates, cells=file.cells)
        columns.take(file.columns)
        for row, (item,) in zip(file.rows(), pages, strict=True):
            assert not row.problem
            assert normalize(columns.item(row.values)) == normalize(item)


def test_tokens_are_left_out_and_counted(templates: Templates, tmp_path: Path) -> None:
    token = "0123456789abcdef"
    items = [{"pass_id": f"{TYPE}/1", "template": "member", "authentication_token": token}, {"pass_id": f"{TYPE}/2"}]
    path = tmp_path / "passes.jsonl"
    assert write_passes([items], path, templates, on_rows=lambda _: None) == Exported(2, 1)
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_interrupted_export_keeps_the_existing_file(templates: Templates, tmp_path: Path) -> None:
    path = tmp_path / "passes.csv"
    path.write_text("yesterday\n")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_passes([[{"pass_id": f"{TYPE}/1"}]], path, templates, on_rows=interrupt)
    assert path.read_text() == "yesterday\n"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_format_is_refused(templates: Templates, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"must end in one of \.csv, \.jsonl, \.parquet"):
        write_passes([], tmp_path / "passes.xlsx", templates, on_rows=lambda _: None)
