"""The bill of materials lists what is in the zip."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra.deploy.bill_of_materials import COPIED, OWN, bill_of_materials, read_locked
from infra.deploy.package import PROJECT, Package, PackagingError

MODULES = {
    "python-dateutil": "dateutil",
    "pyjwt": "jwt",
    "cffi": "_cffi_backend",
    "zint-bindings": "zint",
    "certifi": "roots",
}
"""Libraries whose module has another name."""


def test_document_follows_the_schema_of_cyclonedx(package: Package) -> None:
    document = json.dumps(bill_of_materials(package.zip_file, commit="0123abc"))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None


def test_every_module_of_the_zip_belongs_to_one_component(package: Package) -> None:
    components = bill_of_materials(package.zip_file, commit="x")["components"]
    listed = {MODULES.get(component["name"], component["name"]) for component in components}
    with zipfile.ZipFile(package.zip_file) as archive:
        modules = {re.split(r"[./]", name)[0] for name in archive.namelist()}
    assert listed == modules - OWN
    assert modules >= set(COPIED)


def test_versions_and_hashes_are_the_locked_ones(package: Package) -> None:
    locked = read_locked((PROJECT / "requirements.txt").read_text())
    for component in bill_of_materials(package.zip_file, commit="x")["components"]:
        library = locked[component["name"]]
        (distribution,) = component["externalReferences"]
        assert component["purl"] == f"pkg:pypi/{library.name}@{library.version}"
        assert {entry["content"] for entry in distribution["hashes"]} == set(library.hashes)
        assert library.hashes


def test_module_of_an_unknown_library_is_refused(package: Package, tmp_path: Path) -> None:
    copied = tmp_path / "functions.zip"
    shutil.copyfile(package.zip_file, copied)
    with zipfile.ZipFile(copied, "a") as archive:
        archive.writestr("smuggled/__init__.py", "")
    with pytest.raises(PackagingError, match="contains smuggled, which belongs to no library"):
        bill_of_materials(copied, commit="x")
