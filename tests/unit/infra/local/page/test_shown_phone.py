"""The phones of the page are the same after a restart; a damaged file does not keep the local run from starting."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from infra.local.page.shown_phone import Screen, ShownPhone, read_phones, save_phones
from infra.local.phone import InstalledPass, Phone

KEY = ("pass.com.acme.boarding", "1")


def phone_with_a_pass() -> ShownPhone:
    content = {"passTypeIdentifier": KEY[0], "serialNumber": KEY[1]}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("pass.json", json.dumps(content))
    installed = InstalledPass.open(
        archive.getvalue(), language="de", last_modified="Thu, 26 Nov 2026 10:00:00 GMT", verify=False
    )
    shown = ShownPhone(3, Phone(language="de", passes={KEY: installed}, tags={KEY[0]: "17"}), is_on=False)
    shown.waiting.keep(KEY[0], {"apns-expiration": "2000000000"})
    shown.waiting.keep(KEY[0], {"apns-expiration": "2000000000"})
    return shown


def test_saved_phone_is_restored(tmp_path: Path) -> None:
    shown = phone_with_a_pass()
    save_phones(tmp_path / "phones.json", [shown])
    assert (tmp_path / "phones.json").stat().st_mode & 0o777 == 0o600
    (read,) = read_phones(tmp_path / "phones.json")
    assert (read.number, read.name, read.is_on, read.screen) == (3, "iPhone 3", False, Screen.WALLET)
    assert read.phone.push_token == shown.phone.push_token
    assert read.phone.device_library_identifier == shown.phone.device_library_identifier
    assert (read.phone.language, read.phone.tags) == ("de", {KEY[0]: "17"})
    assert (read.selected, read.phone.passes[KEY]) == (KEY, shown.phone.passes[KEY])
    assert read.waiting.take(1_900_000_000) == {KEY[0]: 2}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "[1]", "[{}]", '[{"language": "en", "passes": [{"archive": "="}]}]']
)
def test_damaged_file_has_no_phones(tmp_path: Path, content: str) -> None:
    (tmp_path / "phones.json").write_text(content)
    assert read_phones(tmp_path / "phones.json") == []


def test_missing_file_has_no_phones(tmp_path: Path) -> None:
    assert read_phones(tmp_path / "phones.json") == []


def test_archive_that_is_not_a_zip_is_damage(tmp_path: Path) -> None:
    shown = phone_with_a_pass()
    save_phones(tmp_path / "phones.json", [shown])
    text = (tmp_path / "phones.json").read_text()
    (tmp_path / "phones.json").write_text(text.replace("UEsD", "XXXX"))
    assert read_phones(tmp_path / "phones.json") == []
