"""Tests of the file with the links of an import's rows."""

import csv
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from chalicelib.aws.templates import Templates
from chalicelib.core.identifiers import PassId
from infra.operate.bulk.files.kinds import open_rows
from infra.operate.bulk.linking import write_import_links
from infra.operate.bulk.plan import ImportPlan
from infra.operate.passes.links import DownloadLink
from infra.stage.stage import Stage
from tests.support.bulk_files import TOKEN, TYPE, file


def sign(pass_ids: Sequence[PassId]) -> DownloadLink:
    return DownloadLink(f"https://a.example/p/{pass_ids[0].serial_number}", datetime.now(UTC))


def linked(path: Path, templates: Templates, target: Path) -> list[dict[str, str]]:
    plan = ImportPlan(Stage("test", {"PassesTableName": "t"}), pass_type=TYPE, template="member")
    count = write_import_links(open_rows(path), plan, templates, target, sign, on_rows=lambda _: None)
    with target.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == count
    return rows


def test_accepted_rows_have_links_and_no_tokens(tmp_path: Path, templates: Templates) -> None:
    path = file(tmp_path, f"serial_number,visits,authentication_token\n1,2,{TOKEN}\n2,many,{TOKEN}\n3,4,{TOKEN}\n")
    target = tmp_path / "links.csv"
    assert linked(path, templates, target) == [
        {"serial_number": number, "visits": visits, "link": f"https://a.example/p/{number}"}
        for number, visits in (("1", "2"), ("3", "4"))
    ]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600, "a link lets anyone add its pass"
    assert not (tmp_path / "links.csv.partial").exists()


def test_rest_of_an_interrupted_run_is_replaced(tmp_path: Path, templates: Templates) -> None:
    (tmp_path / "links.csv.partial").write_text("torn")
    rows = linked(file(tmp_path, "serial_number,visits\n1,2\n"), templates, tmp_path / "links.csv")
    assert [row["link"] for row in rows] == ["https://a.example/p/1"]
