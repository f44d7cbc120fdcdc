"""Tests of the reject files of imports, and of the delay between attempts."""

import stat
from pathlib import Path

import pytest

from chalicelib.aws.templates import Templates
from infra.operate.bulk.files.kinds import open_rows
from infra.operate.bulk.importing import MAX_BACKOFF_SECONDS, backoff_seconds, import_passes
from infra.operate.bulk.plan import ImportPlan
from infra.stage.stage import Stage
from tests.support.bulk_files import TOKEN, TYPE, file, read


def test_delay_between_attempts_is_random_and_bounded() -> None:
    delays = [[backoff_seconds(attempt) for _ in range(50)] for attempt in range(20)]
    assert all(0 <= delay <= MAX_BACKOFF_SECONDS for attempt in delays for delay in attempt)
    assert max(delays[0]) <= 0.05
    assert max(delays[-1]) > 1
    assert len(set(delays[3])) > 10


def rejects_of(path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch, **mapping: str) -> Path:
    """Import a file of which all rows are refused; return the reject file."""
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "eu-central-1")
    plan = ImportPlan(Stage("test", {"PassesTableName": "nowhere"}), pass_type=TYPE, template="member", mapping=mapping)
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
def test_reject_file_is_private_and_without_authentication_tokens(
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
    fixed = file(tmp_path, text.replace('"many"', "7").replace("many", "7"), f"fixed-{name}")
    again = read(fixed, templates, **mapping)
    assert again.items == {}, "without its own token, the phones of a pass could not authenticate"
    assert "was left out of the reject file" in " ".join(again.refused.values())
    restored = file(
        tmp_path, text.replace('"many"', "7").replace("many", "7").replace("(left out)", TOKEN), f"restored-{name}"
    )
    assert read(restored, templates, **mapping).items["1"]["authentication_token"] == TOKEN


def test_refused_rows_without_tokens_are_unchanged_in_the_reject_file(
    tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'sep=;\nserial_number;visits\n1;many\n2;"x\n'
    rejects = rejects_of(file(tmp_path, text), templates, monkeypatch)
    assert [line.rpartition('";')[2] for line in rejects.read_text().splitlines()[2:]] == ["1;many", '2;"x']
    number = '{"serial_number": "1",  "visits": 0.1234567890123456789012345678901234567890123}'
    rejects = rejects_of(file(tmp_path, number, "m.jsonl"), templates, monkeypatch)
    assert rejects.read_text().endswith(f",{number[1:]}\n")
    fixed = file(tmp_path, rejects.read_text().replace("0.1234567890123456789012345678901234567890123", "5"), "n.jsonl")
    assert read(fixed, templates).fields == {"1": {"visits": 5}}


def test_existing_reject_file_becomes_private(
    tmp_path: Path, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, "serial_number,visits\n1,many\n")
    left = tmp_path / "members.rejected.csv"
    left.touch(0o644)
    rejects_of(path, templates, monkeypatch)
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
