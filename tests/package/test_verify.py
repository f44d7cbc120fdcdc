"""A zip that would not run is refused before the upload, and the message names the library."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from infra.deploy.package import Package
from infra.deploy.verify import APNS_ROOTS, VerificationError, verify_zip

ARM64 = (183).to_bytes(2, "little")
Member = tuple[str, bytes]
ResourceChange = Callable[[str, bytes], Member | None]


def changed(package: Package, folder: Path, change: ResourceChange) -> Path:
    """The zip with each member as a function makes it; without those of which it makes None."""
    file = folder / "functions.zip"
    with zipfile.ZipFile(package.zip_file) as ours, zipfile.ZipFile(file, "w") as theirs:
        for name in ours.namelist():
            if member := change(name, ours.read(name)):
                theirs.writestr(*member)
    return file


def without(prefix: str) -> ResourceChange:
    return lambda name, content: None if name.startswith(prefix) else (name, content)


def for_arm64(name: str, content: bytes) -> Member:
    return name, content[:18] + ARM64 + content[20:] if name.startswith("orjson/orjson.") else content


def for_macos(name: str, content: bytes) -> Member:
    return name, b"\xcf\xfa\xed\xfe" + content[4:] if name.startswith("cryptography/") and name.endswith(
        ".so"
    ) else content


def for_another_python(name: str, content: bytes) -> Member:
    return name.replace("markupsafe/_speedups.cpython-3", "markupsafe/_speedups.cpython-39"), content


def test_deployed_zip_is_accepted(package: Package) -> None:
    verify_zip(package.zip_file, package.template)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("orjson/"), "the zip lacks orjson"),
        (without("h2/"), "the zip lacks h2"),
        (without("six"), "the zip lacks six"),
        (without("_cffi_backend"), "the zip lacks _cffi_backend"),
        (for_arm64, "library orjson: .* is for arm64, but the functions run on x86_64"),
        (for_macos, "library cryptography: .* is for another platform"),
        (for_another_python, r"library markupsafe: .* is for python3.9\d+, but the functions run on python3"),
        (without("roots/9046744a"), "lacks the root certificate Sectigo Public Server Authentication Root R46"),
        (without("roots/fc5a8f99"), "lacks the root certificate USERTrust RSA Certification Authority"),
        (without("chalicelib/http/api.py"), r"app.push.* cannot be imported from the zip: ModuleNotFoundError"),
        (without("jinja2/runtime"), "cannot be imported from the zip: .*jinja2.runtime"),
        (without("hpack/"), "the zip lacks hpack"),
        (without("hpack/hpack"), "cannot be imported from the zip: .*hpack.hpack"),
    ],
)
def test_broken_zip_is_refused_with_the_library_named(
    package: Package, tmp_path: Path, change: ResourceChange, sentence: str
) -> None:
    zip_file = changed(package, tmp_path, change)
    with pytest.raises(VerificationError, match=sentence):
        verify_zip(zip_file, package.template)


def test_zip_contains_the_roots_that_apns_needs(package: Package) -> None:
    """APNs' certificates are issued under USERTrust RSA; its owner Sectigo is moving to R46."""
    with zipfile.ZipFile(package.zip_file) as archive:
        subjects = {
            name: load_pem_x509_certificate(archive.read(f"roots/{hashed}.0")).subject.rfc4514_string()
            for name, hashed in APNS_ROOTS.items()
        }
    assert list(subjects) == ["USERTrust RSA Certification Authority", "Sectigo Public Server Authentication Root R46"]
    assert all(subject.startswith(f"CN={name},") for name, subject in subjects.items())


def test_code_for_another_machine_is_checked_without_running_it(package: Package, tmp_path: Path) -> None:
    """On x86_64, the machine code of a zip for arm64 is checked, but nothing is imported."""

    def machine_code_for_arm64(name: str, content: bytes) -> Member:
        return name, content[:18] + ARM64 + content[20:] if name.endswith(".so") else content

    template = json.loads(json.dumps(package.template).replace('"x86_64"', '"arm64"'))
    verify_zip(changed(package, tmp_path, machine_code_for_arm64), template)
    shutil.copy(package.zip_file, tmp_path / "x86.zip")
    with pytest.raises(VerificationError, match="is for x86_64, but the functions run on arm64"):
        verify_zip(tmp_path / "x86.zip", template)
