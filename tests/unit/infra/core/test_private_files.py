"""Tests of files that only their owner may read."""

from pathlib import Path

import pytest

from infra.core.private_files import open_private


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_new_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with open_private(path, "xb") as file:
        assert mode_of(path) == 0o600, "before anything is in it"
        file.write(b"secret")
    assert path.read_bytes() == b"secret"


def test_existing_file_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"1")
    path.chmod(0o644)
    with open_private(path, "ab") as file:
        file.write(b"2")
    assert mode_of(path) == 0o600
    assert path.read_bytes() == b"12"


def test_existing_file_is_not_replaced_in_exclusive_mode(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    with pytest.raises(FileExistsError):
        open_private(tmp_path / "key.pem", "xb")
