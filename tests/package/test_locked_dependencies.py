"""Every dependency is pinned by hash, and no file with another hash gets into the deployed zip."""

import hashlib
import json
import platform
import re
import sysconfig
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from infra.deploy.package import PackagingError, build_package
from infra.local.processes import PROJECT

LOCKED = ("requirements.txt", "requirements-dev.txt", "infra/local/requirements-ministack.txt")
PINNED = re.compile(r"^[a-z0-9][a-z0-9._-]*==\S+")
HERE = sysconfig.get_platform().replace("-", "_").replace(".", "_")
ARCHITECTURE, ELSEWHERE = ("x86_64", "x86_64") if platform.machine() in ("arm64", "aarch64") else ("arm64", "aarch64")
"""The architecture that this machine does not have: Chalice looks for its wheels in a second run of pip."""

APP = """
from chalice import Chalice
app = Chalice(app_name="t")
@app.route("/")
def index():
    return {}
"""


class Index:
    """A project whose only dependency comes from a folder of wheels.

    Args:
        folder: for the project and the wheels.
    """

    def __init__(self, folder: Path) -> None:
        self.project, self.wheels = folder / "project", folder / "wheels"
        for made in (self.project / ".chalice", self.wheels):
            made.mkdir(parents=True)
        (self.project / "app.py").write_text(APP)
        config = {"version": "2.0", "app_name": "t", "stages": {"dev": {"lambda_architecture": ARCHITECTURE}}}
        (self.project / ".chalice" / "config.json").write_text(json.dumps(config))

    def wheel(self, tag: str) -> str:
        """Put version 1 of the library into the folder; its SHA-256 hash."""
        path = self.wheels / f"locked-1-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("locked.py", f"tag = {tag!r}\n")
            archive.writestr("locked-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: locked\nVersion: 1\n")
            archive.writestr("locked-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
            archive.writestr("locked-1.dist-info/RECORD", "")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def locks(self, hashes: Iterable[str]) -> None:
        given = " ".join(f"--hash=sha256:{digest}" for digest in hashes)
        (self.project / "requirements.txt").write_text(f"locked==1 {given}\n")

    def is_refused(self) -> str:
        """The one sentence with which packaging ends."""
        with pytest.raises(PackagingError) as refused:
            build_package("dev", self.project / "package", project=self.project)
        sentence = str(refused.value)
        assert "\n" not in sentence
        return sentence


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    made = Index(tmp_path)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(made.wheels)}.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.parametrize("name", LOCKED)
def test_every_pinned_requirement_has_a_hash(name: str) -> None:
    """`pip install --require-hashes` requires a requirement, its marker, and at least one hash."""
    entries = re.split(r"\n(?=[a-z0-9])", (PROJECT / name).read_text())
    assert len(entries) > 20
    for entry in entries:
        assert PINNED.match(entry)
        assert "--hash=sha256:" in entry


def test_packaging_refuses_a_download_that_differs_from_its_hash(index: Index) -> None:
    index.wheel("py3-none-any")
    index.locks(["0" * 64])
    assert "locked==1: the downloaded file does not have the SHA-256 hash" in index.is_refused()


def test_packaging_refuses_a_wheel_for_lambda_that_differs_from_its_hash(index: Index) -> None:
    """The wheel for this machine is the locked one; the wheel to deploy is not."""
    here = index.wheel(f"py3-none-{HERE}")
    index.wheel(f"py3-none-manylinux2014_{ELSEWHERE}")
    index.locks([here, "0" * 64])
    assert "locked==1: no wheel for Lambda has a hash in" in index.is_refused()


def test_packaging_refuses_a_library_that_has_no_wheel_for_lambda(index: Index) -> None:
    """Chalice alone would warn and omit the library from the zip."""
    index.locks([index.wheel(f"py3-none-{HERE}")])
    assert "locked==1: no wheel for Lambda" in index.is_refused()


def test_zip_built_without_hashes_is_not_reused(index: Index) -> None:
    """It is in the folder in which Chalice looks for zips by the hash of the requirements."""
    index.wheel("py3-none-any")
    index.locks(["0" * 64])
    kept = index.project / ".chalice" / "deployments" / "unverified.zip"
    kept.parent.mkdir()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("locked.py", "tampered = True")
    index.is_refused()
    assert not kept.exists()
