"""Tests of the bill of materials: what the zip contains, by the lock file."""

import zipfile
from pathlib import Path

import pytest

from infra.deploy.bill_of_materials import bill_of_materials, read_locked
from infra.deploy.package import PackagingError
from infra.local.processes import PROJECT

A, B = "a" * 64, "b" * 64
LOCKED = f"""# comment
hpack==4.2.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
    # via h2
Py_JWT==2.15.1 ; python_version >= "3.11" \\
    --hash=sha256:{B}
"""


def zipped(folder: Path, *names: str) -> Path:
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"")
    return path


def test_lock_file_is_read_with_versions_and_all_hashes() -> None:
    found = read_locked(LOCKED)
    assert [(each.name, each.version, each.hashes) for each in found.values()] == [
        ("hpack", "4.2.0", (A, B)),
        ("py-jwt", "2.15.1", (B,)),
    ]


def test_every_locked_library_of_this_project_is_read() -> None:
    text = (PROJECT / "requirements.txt").read_text()
    assert len(read_locked(text)) == sum("==" in line for line in text.splitlines() if not line.startswith((" ", "#")))


def test_only_libraries_in_the_zip_are_listed(tmp_path: Path) -> None:
    path = zipped(tmp_path, "app.py", "chalicelib/settings.py", "hpack/__init__.py", "roots/12345678.0")
    document = bill_of_materials(path, commit="abc")
    assert [component["name"] for component in document["components"]] == ["certifi", "hpack"]
    assert all(each["externalReferences"][0]["hashes"] for each in document["components"])
    assert bill_of_materials(path, commit="abc") == document, "the same zip gives the same document"


def test_module_without_a_locked_library_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="stranger, which belongs to no library"):
        bill_of_materials(zipped(tmp_path, "app.py", "stranger.py"), commit="abc")
