"""A start of the local run builds the package again only if something that it is made from has changed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.deploy.package import Package
from infra.local.kept_package import kept_package

SOURCES = {"app.py": "app", "requirements.txt": "boto", "chalicelib/core/a.py": "a", ".chalice/config.json": "{}"}


class Builds:
    """A checkout and a folder; counts how often the package is built."""

    def __init__(self, root: Path) -> None:
        self.project, self.folder, self.count = root / "project", root / "package", 0
        self.folder.mkdir()
        for name, text in SOURCES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.project / name).parent.mkdir(parents=True, exist_ok=True)
        (self.project / name).write_text(text)

    def build(self, stage: str, folder: Path) -> Package:
        self.count += 1
        template = {"stage": stage, "build": self.count}
        (folder / "sam.json").write_text(json.dumps(template))
        (folder / "functions.zip").write_text(f"zip {self.count}")
        return Package(template=template, zip_file=folder / "functions.zip")

    def package(self, stage: str = "local") -> Package:
        return kept_package(stage, self.folder, project=self.project, build=self.build)


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path)


def test_unchanged_checkout_is_packaged_once(builds: Builds) -> None:
    first = builds.package()
    builds.write(".chalice/deployments/libraries.zip", "made by Chalice")
    builds.write("chalicelib/core/__pycache__/a.cpython-311.pyc", "compiled")
    builds.write("docs/index.md", "not a part of it")
    assert builds.package() == first
    assert builds.count == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda builds: builds.write("chalicelib/core/a.py", "b"),
        lambda builds: builds.write("chalicelib/new.py", ""),
        lambda builds: builds.write("requirements.txt", "boto2"),
        lambda builds: builds.write(".chalice/config.json", '{"a": 1}'),
        lambda builds: builds.write("infra/deploy/resources.json", "{}"),
        lambda builds: (builds.project / "chalicelib/core/a.py").rename(builds.project / "chalicelib/core/b.py"),
        lambda builds: (builds.folder / "functions.zip").write_text("damaged"),
        lambda builds: (builds.folder / "sam.json").write_text("{}"),
        lambda builds: (builds.folder / "functions.zip").unlink(),
        lambda builds: (builds.folder / "built.json").write_text("{"),
        lambda builds: builds.package("other"),
    ],
)
def test_changed_source_or_damaged_package_is_built_again(builds: Builds, change: Callable[[Builds], object]) -> None:
    builds.package()
    change(builds)
    count = builds.count
    assert builds.package().template == {"stage": "local", "build": count + 1}


def test_failed_build_leaves_nothing_to_reuse(builds: Builds) -> None:
    builds.package()
    builds.write("app.py", "broken")

    def fail(stage: str, folder: Path) -> Package:
        builds.build(stage, folder)
        raise RuntimeError("the check of the zip failed")

    with pytest.raises(RuntimeError):
        kept_package("local", builds.folder, project=builds.project, build=fail)
    builds.package()
    assert builds.count == 3
