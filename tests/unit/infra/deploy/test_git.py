"""The state of a checkout."""

from pathlib import Path

from infra.deploy.git import UNKNOWN, Checkout, read_checkout
from tests.support.git import git


def test_folder_without_git_is_unknown_and_clean(tmp_path: Path) -> None:
    assert read_checkout(tmp_path) == Checkout(UNKNOWN, ())


def test_uncommitted_files_are_listed(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "--quiet", "-m", "a")
    clean = read_checkout(tmp_path)
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("3")
    dirty = read_checkout(tmp_path)
    assert clean.uncommitted == ()
    assert dirty.uncommitted == ("a", "b")
    assert dirty.name == f"{clean.commit}-dirty"


def test_warning_names_the_first_files_and_counts_the_others() -> None:
    assert Checkout("c", ()).warning == ""
    assert "(a, b, c and 2 more)" in Checkout("c", tuple("abcde")).warning
