"""The package: what zipfile and unzip, which are not ours, read in what was laid out by hand."""

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

from chalicelib.passes import archive
from chalicelib.passes.archive import BundleError, PreparedArchive, bundle
from chalicelib.passes.template import Template
from tests.support import samples

PATHS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..", "pass.json", "manifest.json", "signature"))


def unsigned(_: bytes) -> bytes:
    return b"a signature"


@given(files=st.dictionaries(PATHS, st.binary(max_size=400)), pass_json=st.binary(max_size=400))
def test_zipfile_reads_back_every_member_of_any_template(files: dict[str, bytes], pass_json: bytes) -> None:
    packed = PreparedArchive.of(files).with_pass(pass_json, sign=unsigned)
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.testzip() is None
        read = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(read.pop("manifest.json"))
    assert read.pop("signature") == b"a signature"
    assert read == {**files, "pass.json": pass_json}
    assert manifest == {name: hashlib.sha1(data).hexdigest() for name, data in read.items()}  # noqa: S324 - the format's


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_finds_no_fault_in_a_pass_of_any_style(tmp_path: Path) -> None:
    for style in samples.STYLES:
        path = tmp_path / f"{style}.pkpass"
        path.write_bytes(samples.build({**samples.files_of(style), "de.lproj/pass.strings": '"ä" = "ö";'.encode()}))
        tested = subprocess.run(["unzip", "-t", path], check=False, capture_output=True, text=True)
        assert tested.returncode == 0, tested.stdout
        assert "No errors detected" in tested.stdout


def test_the_same_pass_is_the_same_bytes() -> None:
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


def test_a_template_is_packed_once_and_not_for_each_pass() -> None:
    template = Template.parse("sample", samples.files_of("coupon"))
    assert template.archive is template.archive
    made = template.archive.with_pass(b"{}", sign=unsigned)
    assert made.startswith(template.archive.members)


def test_a_bundle_holds_its_passes_as_they_are() -> None:
    passes = [samples.build(samples.files_of(style)) for style in samples.STYLES]
    with zipfile.ZipFile(io.BytesIO(bundle(passes))) as opened:
        assert opened.testzip() is None
        assert [opened.read(name) for name in opened.namelist()] == passes
        assert all(name.endswith(".pkpass") for name in opened.namelist())


@pytest.mark.parametrize("count", [0, 11])
def test_a_bundle_of_none_or_of_more_than_ten_passes_is_refused(count: int) -> None:
    with pytest.raises(BundleError, match=f"1 to 10 passes, not {count}"):
        bundle([b"pass"] * count)


def test_a_bundle_over_apples_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BUNDLE_BYTES", 1000)
    bundle([b"x" * 300] * 2)
    with pytest.raises(BundleError, match="over Apple's 1000"):
        bundle([b"x" * 300] * 4)
