"""Tests of the archive of a pass, as zipfile and unzip read it."""

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.archive import PreparedArchive
from chalicelib.passes.template import Template
from tests.support import samples

PATHS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..", "pass.json", "manifest.json", "signature"))


def unsigned(_: bytes) -> bytes:
    return b"a signature"


@given(files=st.dictionaries(PATHS, st.binary(max_size=400)), pass_json=st.binary(max_size=400))
def test_zipfile_reads_every_member_of_any_template(files: dict[str, bytes], pass_json: bytes) -> None:
    packed = PreparedArchive.of(files).with_pass(pass_json, sign=unsigned)
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        read = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(read.pop("manifest.json"))
    assert read.pop("signature") == b"a signature"
    assert read == {**files, "pass.json": pass_json}
    assert manifest == {name: hashlib.sha1(data).hexdigest() for name, data in read.items()}  # noqa: S324 - required by the format


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_accepts_passes_of_every_style(tmp_path: Path) -> None:
    for style in samples.STYLES:
        path = tmp_path / f"{style}.pkpass"
        path.write_bytes(samples.build({**samples.files_of(style), "de.lproj/pass.strings": '"ä" = "ö";'.encode()}))
        tested = subprocess.run(["unzip", "-t", path], check=False, capture_output=True, text=True)
        assert tested.returncode == 0, tested.stdout
        assert "No errors detected" in tested.stdout


def test_equal_passes_have_equal_bytes() -> None:
    files = samples.files_of("coupon")
    backwards = dict(reversed(files.items()))
    assert samples.build(files) == samples.build(backwards)
    assert PreparedArchive.of(files) == PreparedArchive.of(backwards)


def test_images_are_stored_and_texts_deflated() -> None:
    files = {**samples.files_of("coupon"), "en.lproj/pass.strings": b'"a" = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";'}
    with zipfile.ZipFile(io.BytesIO(samples.build(files))) as opened:
        kinds = {member.filename: member.compress_type for member in opened.infolist()}
    assert kinds["strip@3x.png"] == zipfile.ZIP_STORED
    assert kinds["en.lproj/pass.strings"] == zipfile.ZIP_DEFLATED


def test_template_is_packed_once_for_all_passes() -> None:
    template = Template.parse("sample", samples.files_of("coupon"))
    assert template.archive is template.archive
    made = template.archive.with_pass(b"{}", sign=unsigned)
    assert made.startswith(template.archive.members)


@given(files=st.dictionaries(PATHS, st.binary(max_size=200)), added=st.dictionaries(PATHS, st.binary(max_size=200)))
def test_files_of_a_pass_are_added_to_those_of_its_template(files: dict[str, bytes], added: dict[str, bytes]) -> None:
    kept = {path: data for path, data in files.items() if path not in added}
    packed = PreparedArchive.of(kept).plus(added).with_pass(b"{}", sign=unsigned)
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        read = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(read.pop("manifest.json"))
    assert read == {**kept, **added, "pass.json": b"{}", "signature": b"a signature"}
    assert manifest.keys() == {*kept, *added, "pass.json"}
