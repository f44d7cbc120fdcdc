"""Tests of the rule for files that commands write and read."""

import io
import os
import sys
from pathlib import Path

import pytest

from infra.core.files import PathError, check_inputs, check_new, opened, output_file, spooled_input, spooled_output


def test_new_file_in_an_existing_folder_and_standard_output_are_accepted(tmp_path: Path) -> None:
    check_new(tmp_path / "new.csv")
    check_new(Path("-"))


def test_existing_file_is_refused_unless_it_may_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.touch()
    with pytest.raises(PathError, match=r"exists; give another name$"):
        check_new(path)
    with pytest.raises(PathError, match=r"exists; give another name, or add --overwrite$"):
        check_new(path, overwrite=False)
    check_new(path, overwrite=True)


def test_missing_folder_and_a_folder_in_place_of_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=f"there is no folder {tmp_path / 'no'}; create it first"):
        check_new(tmp_path / "no" / "x.csv", overwrite=True)
    with pytest.raises(PathError, match="is a folder; give the name of a file"):
        check_new(tmp_path, overwrite=True)


def test_standard_output_gets_the_whole_file_and_only_after_success(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with spooled_output("x.gz") as path:
        path.write_bytes(b"\x1f\x8b")
    assert capfdbinary.readouterr().out == b"\x1f\x8b"
    with pytest.raises(KeyboardInterrupt):
        _interrupted()
    assert capfdbinary.readouterr().out == b""


def _interrupted() -> None:
    with spooled_output("x.gz") as path:
        path.write_bytes(b"half")
        raise KeyboardInterrupt


def test_standard_input_becomes_a_private_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\r\n\xff")))
    with spooled_input("rows.csv") as path:
        assert path.name == "rows.csv"
        assert path.read_bytes() == b"a\r\n\xff"
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_files_to_read_must_exist_and_only_one_is_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.mkfifo(tmp_path / "pipe")
    check_inputs(tmp_path / "a", tmp_path / "pipe", Path("-"), None)
    with pytest.raises(PathError, match="b: no such file"):
        check_inputs(tmp_path / "a", tmp_path / "b")
    with pytest.raises(PathError, match="is a folder; give a file"):
        check_inputs(tmp_path)
    with pytest.raises(PathError, match="standard input can be read only once"):
        check_inputs(Path("-"), Path("-"))


def test_dash_is_standard_input_and_output(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    (tmp_path / "a").write_bytes(b"a")
    with opened(Path("-")) as standard, opened(tmp_path / "a") as file:
        assert (standard.read(), file.read()) == (b"\xff", b"a")
    with output_file(Path("-"), "name.csv") as spooled, output_file(tmp_path / "b", "name.csv") as path:
        assert (spooled.name, path) == ("name.csv", tmp_path / "b")
        spooled.write_bytes(b"out")
    assert capfdbinary.readouterr().out == b"out"
