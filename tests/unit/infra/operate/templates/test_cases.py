"""Tests of templates that were once checked wrongly, with their correct findings."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from chalicelib.passes.format.findings import Level
from chalicelib.passes.template import Template
from infra.operate.templates.check import check_template
from infra.operate.templates.folder import read_checked, template_name
from tests.support import samples

PDF = b"%PDF-1.4\n%%EOF\n"
FIELD = {"key": "name", "label": "NAME", "value": "x", "changeMessage": "Name is %@"}


def folder_of(style: str = "generic", **content: object) -> dict[str, bytes]:
    """Return a template with one field."""
    whole: dict[str, Any] = {"formatVersion": 1, "description": "A case", "organizationName": "Acme"}
    whole |= {style: {"primaryFields": [FIELD]}} | content
    files = {"pass.json": json.dumps(whole).encode()}
    for scale in (1, 2, 3):
        suffix = "" if scale == 1 else f"@{scale}x"
        files[f"icon{suffix}.png"] = samples.png(38 * scale, 38 * scale)
    return files


def texts(files: dict[str, bytes], level: Level) -> list[str]:
    return [str(finding) for finding in check_template("case", files) if finding.level is level]


def errors(files: dict[str, bytes]) -> list[str]:
    return texts(files, Level.ERROR)


def warnings(files: dict[str, bytes]) -> list[str]:
    assert errors(files) == []
    return texts(files, Level.WARNING)


def test_color_with_alpha_is_not_an_error() -> None:
    messages = warnings(
        folder_of(backgroundColor="rgba(220, 58, 92, 1.00)", foregroundColor="rgba(255, 255, 255, 1.00)")
    )
    assert [warning.split(": ")[1] for warning in messages] == ["backgroundColor", "foregroundColor"]


def test_settings_of_pass_designer_are_left_out_of_passes() -> None:
    files = folder_of(stripColor="rgb(1, 2, 3)", logoSymbolName="ticket.circle.fill", generic={"primaryFields": []})
    files = {path.replace(".png", ".pdf"): PDF if path != "pass.json" else data for path, data in files.items()}
    files["tooling.json"] = b'{"version":1}'
    messages = warnings(files)
    assert any(warning.startswith("tooling.json: contains settings of Pass Designer") for warning in messages)
    assert sum("is a PDF" in warning for warning in messages) == 3
    assert len(messages) == 4
    assert set(Template.parse("case", files).files) == {"icon.pdf", "icon@2x.pdf", "icon@3x.pdf"}


def test_emoji_in_utf_16_escapes_has_no_findings() -> None:
    strings = rb'"x" = "Welcome \Ud83d\Ude00"; "NAME" = "Name"; "Name is %@" = "Name is %@ \Ud83c\Udf89";'
    files = {**folder_of(), "en.lproj/pass.strings": strings}
    assert warnings(files) == []
    assert Template.parse("case", files).strings["en"]["x"] == "Welcome 😀"


def test_incomplete_emoji_is_an_error_with_its_path() -> None:
    (error,) = errors(folder_of(generic={"primaryFields": [{**FIELD, "label": "Concert \ud83c"}]}))
    assert error.startswith("pass.json: generic.primaryFields[0].label: ")
    (error,) = errors({**folder_of(), "en.lproj/pass.strings": rb'"x" = "Concert \Ud83c";'})
    assert error.startswith("en.lproj/pass.strings: line 1, column 16: ")


def test_missing_tags_of_a_semantic_boarding_pass_are_a_warning() -> None:
    style = {"primaryFields": [FIELD], "transitType": "PKTransitTypeAir"}
    schemes = ["semanticBoardingPass", "boardingPass"]
    (warning,) = warnings(folder_of("boardingPass", boardingPass=style, preferredStyleSchemes=schemes))
    assert "requires airlineCode, flightNumber, departureAirportCode," in warning
    assert "passengerName;" in warning


def test_every_wrong_tag_is_a_finding() -> None:
    tags = {
        "deparatureGate": "A1",
        "flightNumber": "LH1",
        "seats": {"seatNumber": "1"},
        "totalPrice": "12.50",
        "originalDepartureDate": "2026-05-09T00:00:00Z",
    }
    files = folder_of("boardingPass", boardingPass={"transitType": "PKTransitTypeAir"}, semantics=tags)
    named = {finding.path for finding in check_template("case", files)}
    assert named == {f"semantics.{tag}" for tag in ("deparatureGate", "flightNumber", "seats", "totalPrice")}


def test_personalization_without_nfc_is_a_warning() -> None:
    asked = {"requiredPersonalizationFields": ["PKPassPersonalizationFieldName"], "description": "Join"}
    files = {
        **folder_of("storeCard"),
        "personalization.json": json.dumps(asked).encode(),
        "personalizationLogo.png": samples.png(150, 40),
        "personalizationLogo@2x.png": samples.png(300, 80),
    }
    (warning,) = warnings(files)
    assert warning.startswith("personalization.json: has no effect in a pass without nfc")


def test_background_of_apples_size_has_no_findings() -> None:
    files = folder_of("eventTicket")
    for scale in (1, 2, 3):
        files[f"background{'' if scale == 1 else f'@{scale}x'}.png"] = samples.png(345 * scale, 505 * scale)
    assert warnings(files) == []


def test_stray_files_are_reported_and_left_out_of_passes(tmp_path: Path) -> None:
    stray = ("README.md", "Thumbs.db", "logo.psd", "tooling.json", ".DS_Store", "en.lproj/notes.txt")
    folder = tmp_path / "case.pass"
    (folder / "en.lproj").mkdir(parents=True)
    for path, data in folder_of().items():
        (folder / path).write_bytes(data)
    for path in stray:
        (folder / path).write_bytes(b"x" * 5_000_000 if path == "logo.psd" else b"x")
    files, unread = read_checked(folder)
    messages = [str(finding) for finding in [*unread, *check_template("case", files)]]
    assert sorted(warning.split(":")[0] for warning in messages) == sorted(stray)
    assert set(Template.parse("case", files).files) == {"icon.png", "icon@2x.png", "icon@3x.png"}


def test_trailing_comma_is_an_error_with_line_and_column() -> None:
    (error,) = errors({**folder_of(), "pass.json": b'{"description": "d",\n "generic": {},}'})
    assert "line 2 column" in error


def test_pass_designers_identifiers_are_left_out_of_passes() -> None:
    field = {**FIELD, "_id": "3F1C"}
    files = folder_of(generic={"primaryFields": [field]}, userInfo={"_id": "mine"}, semantics={"seats": [{"_id": "1"}]})
    assert warnings(files) == []
    content = Template.parse("case", files).content
    assert content["generic"]["primaryFields"] == [FIELD]
    assert content["semantics"] == {"seats": [{}]}
    assert content["userInfo"] == {"_id": "mine"}


def test_icon_of_the_next_scale_replaces_one_that_pass_designer_does_not_export() -> None:
    files = {path: data for path, data in folder_of().items() if path != "icon.png"}
    assert Template.parse("case", files).files["icon.png"] == files["icon@2x.png"]
    assert warnings(files) == []


def test_localized_image_beside_one_at_the_top_is_a_warning() -> None:
    files = folder_of()
    png = samples.png(38, 38)
    (warning, *_) = warnings({**files, "de.lproj/icon@2x.png": png, "de.lproj/icon@3x.png": png})
    assert warning.startswith("de.lproj/icon.png: is never shown")
    only = {"de.lproj/logo@2x.png": png, "de.lproj/logo@3x.png": png, "en.lproj/logo@2x.png": png}
    assert any("has other scales" in warning for warning in warnings({**files, **only}))


def test_missing_scale_and_images_hidden_by_a_strip_are_warnings() -> None:
    files = folder_of("eventTicket")
    del files["icon@3x.png"]
    (warning,) = warnings(files)
    assert "is blurred on some phones; add icon@3x.png" in warning
    png = samples.png(90, 90)
    files = {**folder_of("eventTicket"), "strip@2x.png": png, "background@2x.png": png}
    (warning,) = warnings(files)
    assert warning.startswith("background.png: is hidden by strip.png")


def zipped(path: Path, files: dict[str, bytes], prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(prefix + name, data)
    return path


@pytest.mark.parametrize("name", ["case.pkpasstemplate", "case.pkpasstemplate.zip"])
@pytest.mark.parametrize("prefix", ["", "Case.pkpasstemplate/"])
def test_zip_of_pass_designer_is_read_like_its_folder(tmp_path: Path, name: str, prefix: str) -> None:
    files = folder_of()
    path = zipped(tmp_path / name, {**files, "tooling.json": b"{}"}, prefix)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._pass.json", b"x")
    assert template_name(path) == "case"
    read, unread = read_checked(path)
    assert {path: data for path, data in read.items() if data} == files
    assert [str(finding) for finding in unread] == ["__MACOSX: is hidden and is left out of passes"]
    folder = tmp_path / "folder" / "case.pkpasstemplate"
    folder.mkdir(parents=True)
    for member, data in files.items():
        (folder / member).write_bytes(data)
    assert template_name(folder) == "case"
    assert read_checked(folder) == (files, [])
