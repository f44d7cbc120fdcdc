"""Tests of passes of every style with other programs that read or validate them, if those are installed.

`apt-get install --no-install-recommends libkpimpkpass-dev g++ pkg-config` for KDE's reader; `make bench-pass` installs
passkit-generator. Apple's buildpass is built from its repository if Swift 6.3 is installed.
"""

import io
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import samples
from tests.support.every_key import EVERY_KEY

HERE = Path(__file__).parent
PASSKIT_GENERATOR = HERE.parents[1] / ".passwire" / "bench" / "pass-node" / "node_modules" / "passkit-generator"
PASS_BUILDER = HERE.parents[1] / ".passwire" / "bench" / "pass-builder"
PASS_BUILDER_SOURCE = "https://github.com/apple/pass-builder.git"
KPKPASS = Path("/usr/include/KPim/KPkPass")
STYLES_OF_2022 = [style for style in samples.STYLES if style != "posterGeneric"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a program from KDE's reader of passes."""
    if not KPKPASS.exists() or not shutil.which("g++") or not shutil.which("pkg-config"):
        pytest.skip("libkpimpkpass-dev, g++ or pkg-config is not installed")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "Qt5Gui"], capture_output=True, text=True, check=True)
    program = tmp_path_factory.mktemp("reader") / "read_pass"
    source, headers = str(HERE / "read_pass.cpp"), f"-I{KPKPASS.parent}"
    command = ["g++", "-fPIC", source, "-o", str(program), headers, *flags.stdout.split()]
    subprocess.run([*command, "-lKPimPkPass"], check=True)
    return program


def read_back(reader: Path, made: bytes, folder: Path, language: str) -> dict[str, Any]:
    (folder / "made.pkpass").write_bytes(made)
    environment = {**os.environ, "LC_ALL": language, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([reader, folder / "made.pkpass"], env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("style", STYLES_OF_2022)
def test_kde_reader_finds_fields_images_and_translations(style: str, reader: Path, tmp_path: Path) -> None:
    files = {
        **samples.files_of(style, logoText="greeting"),
        "de.lproj/pass.strings": '"greeting" = "Grüße";'.encode(),
        "en.lproj/pass.strings": b'"greeting" = "Greetings";',
    }
    made = samples.build(files, serial_number="K-7")
    read = read_back(reader, made, tmp_path, "de_DE.UTF-8")
    assert read["logoText"] == "Grüße"
    assert read_back(reader, made, tmp_path, "en_GB.UTF-8")["logoText"] == "Greetings"
    assert (read["serialNumber"], read["barcode"]) == ("K-7", "K-7")
    assert read["authenticationToken"] == samples.TOKEN.value
    for members in samples.STYLES[style][style].values():
        for member in members if isinstance(members, list) else ():
            assert read["fields"][member["key"]]["label"] == member["label"]
            if isinstance(member["value"], str) and not {"dateStyle", "attributedValue"} & set(member):
                assert read["fields"][member["key"]]["value"] == member["value"]
    for name, (width, _) in {"icon": (38, 38), **samples.IMAGES[style]}.items():
        assert [read["images"][f"{name}@{scale}"] for scale in (1, 2, 3)] == [width, 2 * width, 3 * width]


def refused_by_passkit_generator(pass_json: bytes, folder: Path) -> list[str]:
    if not PASSKIT_GENERATOR.exists() or not shutil.which("node"):
        pytest.skip("passkit-generator is not installed; make bench-pass does it")
    (folder / "pass.json").write_bytes(pass_json)
    command = ["node", str(HERE / "validate.cjs"), str(PASSKIT_GENERATOR), str(folder / "pass.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("style", samples.STYLES)
def test_passkit_generator_accepts_pass_json_of_every_style(style: str, tmp_path: Path) -> None:
    (tmp_path / "made.pkpass").write_bytes(samples.build(samples.files_of(style), voided=True))
    with zipfile.ZipFile(tmp_path / "made.pkpass") as members:
        assert refused_by_passkit_generator(members.read("pass.json"), tmp_path) == []


KNOWN_TO_BE_BEHIND = [
    'pass: "relevantDates[0]" does not match any of the allowed types',  # iOS 26's `date` without the older name
    'pass: "logoSymbolName" is not allowed',  # in pass-builder, not in Apple's pages
    'pass: "liveDataConfiguration" is not allowed',  # seen on devices
    'pass: "businessChatIdentifier" is not allowed',  # iOS 26
    'pass: "trackBagsURL" is not allowed',  # iOS 26
]


def test_passkit_generator_accepts_every_key_except_those_that_it_does_not_know(tmp_path: Path) -> None:
    assert refused_by_passkit_generator(json.dumps(EVERY_KEY).encode(), tmp_path) == KNOWN_TO_BE_BEHIND


def test_passkit_generator_refuses_an_invalid_pass_json(tmp_path: Path) -> None:
    broken = json.dumps({**EVERY_KEY, "voided": "yes"}).encode()
    assert 'pass: "voided" must be a boolean' in refused_by_passkit_generator(broken, tmp_path)


@pytest.fixture(scope="module")
def buildpass() -> str:
    """Find Apple's buildpass, or build it."""
    installed = shutil.which("buildpass")
    if installed:
        return installed
    if not shutil.which("swift"):
        pytest.skip("neither buildpass nor Swift, which builds it, is installed")
    clone = ["git", "clone", "-q", "--depth", "1", PASS_BUILDER_SOURCE, str(PASS_BUILDER)]
    if not PASS_BUILDER.exists() and subprocess.run(clone, capture_output=True, check=False).returncode:
        pytest.skip(f"{PASS_BUILDER_SOURCE} cannot be cloned")
    build = ["swift", "build", "-c", "release", "--product", "buildpass"]
    done = subprocess.run(build, cwd=PASS_BUILDER, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"buildpass cannot be built: {done.stderr.strip()[-200:]}")
    return str(PASS_BUILDER / ".build" / "release" / "buildpass")


def errors_of_buildpass(buildpass: str, made: bytes, folder: Path) -> str:
    """Return what buildpass prints about a pass in which it finds errors; empty without errors."""
    with zipfile.ZipFile(io.BytesIO(made)) as members:
        members.extractall(folder / "made.pass")
    command = [buildpass, "validate", str(folder / "made.pass")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


@pytest.mark.parametrize("style", samples.STYLES)
def test_apples_buildpass_finds_no_error_in_a_pass_of_every_style(style: str, buildpass: str, tmp_path: Path) -> None:
    made = samples.build(samples.files_of(style), fields={}, voided=True)
    assert errors_of_buildpass(buildpass, made, tmp_path) == ""


def test_apples_buildpass_finds_the_error_of_an_invalid_pass(buildpass: str, tmp_path: Path) -> None:
    files = {path: data for path, data in samples.files_of("generic").items() if not path.startswith("icon")}
    assert "icon" in errors_of_buildpass(buildpass, samples.build(files), tmp_path)
