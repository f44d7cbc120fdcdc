"""Tests of reading designers' folders and zips, and of writing them."""

import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.findings import Level
from infra.operate.templates.folder import (
    MAX_MEMBERS,
    MAX_TEMPLATE_BYTES,
    FolderError,
    opened_template,
    read_checked,
    template_name,
    write_folder,
    zipped_folder,
)

FILES = {"pass.json": b"{}", "icon.png": b"x", "de.lproj/pass.strings": b"y"}


def zipped(path: Path, files: dict[str, bytes], prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(prefix + name, data)
    return path


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "sample.pass"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.txt")
    (folder / "en.lproj").symlink_to(tmp_path)
    (folder / ".DS_Store").write_text("x")
    (folder / "pass.json").write_text("{}")
    with (folder / "huge.png").open("wb") as huge:
        huge.truncate(50_000_000)
    files, findings = read_checked(folder)
    assert files == {"pass.json": b"{}"}
    assert [str(finding) for finding in findings if finding.level is Level.WARNING] == [
        ".DS_Store: is hidden and is left out of passes"
    ]
    assert [str(finding) for finding in findings if finding.level is Level.ERROR] == [
        "en.lproj: is a symbolic link; put the file itself there",
        f"huge.png: has 50,000,000 bytes; a whole pass may have {MAX_TEMPLATE_BYTES:,}, use a smaller file",
        "link.png: is a symbolic link; put the file itself there",
    ]


def test_total_size_of_a_folder_is_limited(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(bytes(MAX_TEMPLATE_BYTES // 2))
    assert "shrink its images" in str(read_checked(tmp_path)[1][0])


@pytest.mark.parametrize("name", ["boarding", "boarding.pass.zip", "missing.pass", ".pass"])
def test_path_that_is_not_a_template_folder_is_refused(tmp_path: Path, name: str) -> None:
    if name != "missing.pass":
        (tmp_path / name).mkdir()
    with pytest.raises(FolderError, match="not a template"):
        template_name(tmp_path / name)


def test_zip_with_a_member_without_a_name_is_an_error(tmp_path: Path) -> None:
    """Python's zipfile cuts a name at its first NUL."""
    path = zipped(tmp_path / "case.pkpasstemplate", {**FILES, "QZQZ": b"x"})
    path.write_bytes(path.read_bytes().replace(b"QZQZ", b"\0ZQZ"))
    read, unread = read_checked(path)
    assert "" not in read
    assert [finding.level for finding in unread] == [Level.ERROR]


@pytest.mark.parametrize("path", ["../icon.png", "/icon.png", "en.lproj/../../icon.png", "..\\icon.png", "a//icon.png"])
def test_zip_with_a_path_outside_its_folder_is_an_error(tmp_path: Path, path: str) -> None:
    read, unread = read_checked(zipped(tmp_path / "case.pkpasstemplate", {**FILES, path: b"x"}))
    assert path not in read
    assert [finding.level for finding in unread] == [Level.ERROR]
    assert "is a path outside the folder" in str(unread[0])


def test_too_large_zip_is_an_error_and_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "case.pkpasstemplate"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("icon.png", bytes(50_000_000))
    assert "has 50,000,000 bytes" in str(read_checked(path)[1][0])


def test_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.pkpasstemplate"
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(FolderError, match="cannot be read as a zip"):
        read_checked(path)


def test_zip_with_too_many_members_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "case.pkpasstemplate", {f"{number}.png": b"" for number in range(MAX_MEMBERS + 1)})
    with pytest.raises(FolderError, match="10,001 members, more than 10,000"):
        read_checked(path)


def test_member_that_is_twice_in_a_zip_is_an_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "case.pkpasstemplate", FILES)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("icon.png", b"z")
    assert [str(finding) for finding in read_checked(path)[1]] == [
        "icon.png: is in the zip twice; create the zip again"
    ]


def test_written_folder_is_read_back(tmp_path: Path) -> None:
    write_folder(tmp_path / "case.pass", FILES)
    assert read_checked(tmp_path / "case.pass") == (FILES, [])
    assert [path.name for path in tmp_path.iterdir()] == ["case.pass"], "nothing else is left"


names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(st.dictionaries(names.map(lambda name: f"{name}.png"), st.binary(max_size=50), max_size=5), names)
def test_zipped_folder_is_read_back(images: dict[str, bytes], name: str) -> None:
    data = zipped_folder(f"{name}.pass", {"pass.json": b"{}", **images})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {member.partition("/")[0] for member in archive.namelist()} == {f"{name}.pass"}
        assert {member.partition("/")[2] for member in archive.namelist()} == {"pass.json", *images}


def test_template_on_standard_input_is_a_zip_of_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(zipped_folder("case.pass", FILES))))
    with opened_template(Path("-")) as path:
        assert template_name(path) == "case"
        assert read_checked(path) == (FILES, [])
    assert not path.exists()


def two_folders() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in ("a.pass", "b.pass"):
            archive.writestr(f"{name}/pass.json", b"{}")
    return data.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"PK", zipped_folder("case", FILES), zipped_folder("../case.pass", FILES), two_folders()]
)
def test_other_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    with pytest.raises(FolderError, match="not a zip of one folder"), opened_template(Path("-")):
        pass


def test_given_folder_is_opened_as_it_is(tmp_path: Path) -> None:
    with opened_template(tmp_path) as path:
        assert path == tmp_path


@pytest.mark.parametrize("name", ["Boarding Pass.pass", "a/b\x7f.pass", "x" * 200 + ".pass"])
def test_name_that_no_template_can_have_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name.rpartition("/")[2]
    folder.mkdir()
    with pytest.raises(FolderError, match="not a valid template name"):
        template_name(folder)


def test_level_of_a_hidden_file_is_a_warning(tmp_path: Path) -> None:
    write_folder(tmp_path / "case.pass", {**FILES, ".git/config": b""})
    (finding,) = read_checked(tmp_path / "case.pass")[1]
    assert (finding.level, finding.file) == (Level.WARNING, ".git")
