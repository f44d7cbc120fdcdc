"""The phones of the page are the same after a restart; a damaged file does not keep the local run from starting."""

from pathlib import Path

import pytest

from infra.local.page.shown_phone import Screen, read_phones, save_phones
from tests.support.shown_phone import KEY, phone_with_a_pass


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
