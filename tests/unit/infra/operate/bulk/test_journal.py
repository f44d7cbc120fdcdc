"""Tests of the journal of an import."""

from pathlib import Path

import pytest

from infra.operate.bulk.journal import ImportRunsError, Journal, Settled


def test_new_journal_is_empty_and_private(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "key") as journal:
        assert (journal.resumed, journal.replaced, journal.rows) == (False, False, 0)
    assert path.stat().st_mode & 0o777 == 0o600


def test_journal_with_the_same_key_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "key") as journal:
        journal.record(Settled(1, 25, 20, 5, 99))
    with Journal(path, "key") as journal:
        assert (journal.resumed, journal.replaced) == (True, False)
        assert (journal.rows, journal.written, journal.rejected, journal.rejects_size) == (25, 20, 5, 99)
        assert [journal.is_settled(number) for number in (1, 25, 26)] == [True, True, False]


@pytest.mark.parametrize("content", ['{"key": "other"}\n1 25 25 0 0\n', "not JSON\n", "[]\n"])
def test_journal_with_another_key_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal"
    path.write_text(content)
    with Journal(path, "key") as journal:
        assert (journal.resumed, journal.replaced, journal.rows) == (False, True, 0)
        assert not journal.is_settled(1)
    assert path.read_text() == '{"key": "key"}\n'


def test_open_journal_cannot_be_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "key"), pytest.raises(ImportRunsError, match="another import of this file is running"):
        Journal(path, "key")
    with Journal(path, "key"):
        pass


def test_removed_journal_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "key") as journal:
        journal.remove()
    assert not path.exists()


@pytest.mark.parametrize("torn", [b"51 7", b"51 783 85 3 0 99\n", b"51 75 25 0 9986 90 5 0 99\n"])
def test_incomplete_line_ends_the_journal(tmp_path: Path, torn: bytes) -> None:
    """A line is incomplete if the process was killed, or if the disk was full."""
    path = tmp_path / "journal"
    with Journal(path, "key") as journal:
        journal.record(Settled(26, 50, 25, 0, 0))
        journal.record(Settled(1, 25, 20, 5, 99))
        journal.record(Settled(76, 80, 5, 0, 99))
    with path.open("ab") as file:
        file.write(torn)
    with Journal(path, "key") as journal:
        assert [n for n in range(1, 100) if journal.is_settled(n)] == [*range(1, 51), *range(76, 81)]
        assert (journal.written, journal.rejected, journal.rejects_size) == (50, 5, 99)
        journal.record(Settled(51, 82, 27, 0, 99))
        assert [n for n in range(1, 100) if not journal.is_settled(n)] == list(range(83, 100))
