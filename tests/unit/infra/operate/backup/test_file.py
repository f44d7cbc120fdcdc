"""Tests of the format of backup files."""

import gzip
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.operate.backup import file
from infra.operate.backup.errors import BackupError

BEGUN_AT = "2026-11-25T16:00:00+00:00"


def pass_items() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number in range(200):
        yield "passes", {"pass_id": {"S": f"pass.x/{secrets.token_hex(20)}"}, "n": {"N": str(number)}}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A complete backup of 200 passes."""
    path = tmp_path / "backup.gz"
    file.write(path, stage="dev", begun_at=BEGUN_AT, items=pass_items())
    return path


def test_written_items_are_read_by_kind(tmp_path: Path) -> None:
    """Bytes come back as bytes, also beside a map that looks like their encoding."""
    path = tmp_path / "b.gz"
    template = {"name": "boarding", "zip": b"\x00\xff"}
    own = {"pass_id": {"S": "pass.x/1"}, "photo": {"B": b"\x01"}, "$bytes": {"$bytes": {"S": "x"}}}
    contents = file.write(path, stage="dev", begun_at=BEGUN_AT, items=[("templates", template), ("passes", own)])
    assert list(file.read(path, "templates")) == [template]
    assert list(file.read(path, "passes")) == [own]
    assert list(file.read(path, "devices")) == []
    assert contents == file.verify(path)
    assert contents.stage == "dev"
    assert contents.begun_at == BEGUN_AT
    assert contents.counts == {
        "versions": 0,
        "templates": 1,
        "passes": 1,
        "devices": 0,
        "registrations": 0,
        "images": 0,
    }


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (b"[" * 100_000 + b"\n", "damaged, or not a backup"),
        (b"[]\n", "damaged, or not a backup"),
        (b'{"passwire_backup": 1}\n{"sha256": "x", "counts": []}\n', "was changed after it was written"),
        (b" " * (file.MAX_LINE_BYTES + 1), "has a line of over 100,000,000 bytes"),
    ],
    ids=["nested", "no header", "no counts", "one line"],
)
def test_file_of_any_content_is_refused_in_one_sentence(tmp_path: Path, lines: bytes, problem: str) -> None:
    path = tmp_path / "b.gz"
    path.write_bytes(gzip.compress(lines, compresslevel=1))
    with pytest.raises(BackupError, match=problem):
        file.verify(path)


def test_only_the_owner_can_read_the_file(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600


def test_existing_file_is_not_overwritten(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(BackupError, match="already exists; choose another file"):
        file.write(backup, stage="dev", begun_at=BEGUN_AT, items=pass_items())
    assert backup.read_bytes() == before


def test_failed_backup_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield from pass_items()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        file.write(tmp_path / "b.gz", stage="dev", begun_at="", items=interrupted())
    assert list(tmp_path.iterdir()) == []


def without_last_line(data: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def without_one_item(data: bytes) -> bytes:
    lines = gzip.decompress(data).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:5] + lines[6:]))


def with_one_digit_changed(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"N":"7"', b'"N":"8"', 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda data: data[: len(data) // 2], "damaged, or not a backup", id="first half"),
        pytest.param(lambda data: data[:-4], "damaged, or not a backup", id="no gzip checksum"),
        pytest.param(
            lambda data: data[:400] + bytes([data[400] ^ 1]) + data[401:],
            "damaged, or not a backup|was changed",
            id="one bit flipped",
        ),
        pytest.param(lambda _: b"", "ends too early", id="empty"),
        pytest.param(lambda _: b"PK\x03\x04", "damaged, or not a backup", id="zip"),
        pytest.param(lambda _: gzip.compress(b"[]\n"), "damaged, or not a backup", id="no JSON object"),
        pytest.param(
            lambda _: gzip.compress(b'{"passwire_backup": 2}\n'),
            "not a backup that this version can read",
            id="later version",
        ),
        pytest.param(without_last_line, "ends too early", id="no last line"),
        pytest.param(without_one_item, "was changed after it was written", id="one item removed"),
        pytest.param(with_one_digit_changed, "was changed after it was written", id="one digit changed"),
        pytest.param(lambda data: data + gzip.compress(b"{}\n"), "has data after its last line", id="data appended"),
    ],
)
def test_damaged_file_is_refused(backup: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    assert file.verify(backup).counts["passes"] == 200
    backup.write_bytes(damage(backup.read_bytes()))
    with pytest.raises(BackupError, match=message):
        file.verify(backup)


def test_backup_of_a_version_without_images_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.gz"
    file.write(path, stage="dev", begun_at=BEGUN_AT, items=[("versions", {"pass_id": {"S": "a/1"}})])
    *lines, last = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    content = json.loads(last)
    del content["counts"]["images"]
    path.write_bytes(gzip.compress(b"".join([*lines, json.dumps(content).encode()])))
    assert file.verify(path).counts["versions"] == 1
