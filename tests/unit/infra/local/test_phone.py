"""Tests of a pass on the simulated phone: its fields, its images, and what the lock screen says after an update."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from chalicelib.passes.format.keys import FIELD_GROUPS, STYLES
from infra.local.phone import InstalledPass
from infra.local.verification import PassError


def installed(content: Mapping[str, Any], *, language: str = "en", **files: str) -> InstalledPass:
    """Open a pass that was verified before; the names of files have `_` for `.` and `__` for `/`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("pass.json", json.dumps({"passTypeIdentifier": "pass.a", "serialNumber": "1", **content}))
        for name, text in files.items():
            members.writestr(name.replace("__", "/").replace("_", "."), text)
    return InstalledPass.open(archive.getvalue(), language=language, last_modified=None, verify=False)


def with_fields(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - values of fields
    messages = {"gate": "Gate changed to %@", "seat": "SEAT", "boards": "Boards %@"}
    fields = [{"key": key, "value": value, "changeMessage": messages[key]} for key, value in values.items()]
    return {"boardingPass": {"primaryFields": fields, "backFields": [{"key": "terms", "value": values.get("gate")}]}}


def test_fields_of_every_group_and_style_are_known() -> None:
    field = {"key": "k", "value": 1}
    shown = {(style, group): installed({style: {group: [field]}}) for style in STYLES for group in FIELD_GROUPS}
    assert [place for place, phone_pass in shown.items() if phone_pass.fields() != {"k": field}] == []


def test_pass_without_a_style_has_no_fields() -> None:
    assert installed({}).fields() == {}


def test_changed_field_with_a_message_is_shown() -> None:
    before, after = installed(with_fields(gate="A7", seat="1A")), installed(with_fields(gate="B22", seat="1A"))
    assert after.changes_since(before) == ["Gate changed to B22"], "the terms changed, too, but have no message"
    assert after.changes_since(after) == []


def test_added_and_removed_fields_are_not_shown() -> None:
    one, two = installed(with_fields(gate="A7")), installed(with_fields(gate="A7", seat="1A"))
    assert (two.changes_since(one), one.changes_since(two)) == ([], [])


def test_message_and_value_are_in_the_phones_language() -> None:
    strings = '"Boards %@" = "Einstieg %@"; "now" = "jetzt"; "later" = "später";'
    files = {"de_lproj__pass_strings": strings, "fr_lproj__pass_strings": '"now" = "maintenant";'}
    before = installed(with_fields(boards="later"), language="de-AT", **files)
    after = installed(with_fields(boards="now"), language="de-AT", **files)
    assert after.language == "de"
    assert after.changes_since(before) == ["Einstieg jetzt"]
    assert installed(with_fields(boards="now")).changes_since(before) == ["Boards now"]


def test_highest_scale_is_shown_and_an_image_at_the_top_hides_localized_ones() -> None:
    localized = {"de_lproj__strip@2x_png": "de 2", "de_lproj__strip_png": "de 1"}
    assert installed({}, language="de", **localized).image("strip") == b"de 2"
    assert installed({}, language="de", **localized, strip_png="top").image("strip") == b"top"
    assert installed({}, language="de", **localized).image("logo") is None


def test_unsigned_pass_and_other_downloads_are_refused() -> None:
    with pytest.raises(PassError, match="not a zip archive"):
        InstalledPass.open(b"<html>", language="en", last_modified=None)
    with pytest.raises(PassError):
        InstalledPass.open(installed({}).archive, language="en", last_modified=None)
