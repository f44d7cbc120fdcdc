"""Tests of the file with an import's refused rows."""

import stat
from pathlib import Path

import pytest

from infra.operate.bulk.rejects import RejectFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.rejected.csv"


def test_file_is_created_for_the_first_row(path: Path) -> None:
    with RejectFile(path, header="line,reason\n", recorded_bytes=0) as rejects:
        assert (rejects.size(), path.exists()) == (0, False)
        rejects.add("1,bad\n")
        rejects.add("2,worse\n")
        assert rejects.size() == len(path.read_bytes())
    assert path.read_text() == "line,reason\n1,bad\n2,worse\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "a row contains personal data"


def test_rows_that_no_journal_records_are_removed(path: Path) -> None:
    path.write_text("line,reason\n1,bad\n2,torn")
    with RejectFile(path, header="line,reason\n", recorded_bytes=len("line,reason\n1,bad\n")) as rejects:
        rejects.add("2,worse\n")
    assert path.read_text() == "line,reason\n1,bad\n2,worse\n"


def test_file_of_another_import_is_replaced(path: Path) -> None:
    path.write_text("left over")
    with RejectFile(path, header="", recorded_bytes=0):
        assert not path.exists()


def test_added_rows_can_be_removed_again(path: Path) -> None:
    with RejectFile(path, header="h\n", recorded_bytes=0) as rejects:
        rejects.truncate(0)
        rejects.add("1\n")
        size = rejects.size()
        rejects.add("2\n")
        rejects.truncate(size)
        rejects.add("3\n")
    assert path.read_text() == "h\n1\n3\n"
