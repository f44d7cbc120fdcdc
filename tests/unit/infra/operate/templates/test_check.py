"""The check of a template: one clear finding for each fault, none for what Apple's format allows."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.templates import PACKAGED
from chalicelib.passes.format.findings import Level
from chalicelib.passes.format.keys import PASS_KEYS
from infra.operate.templates.check import check_template
from infra.operate.templates.findings import TemplateFinding
from infra.operate.templates.folder import read_checked
from tests.support import samples
from tests.support.every_key import EVERY_KEY


@pytest.mark.parametrize("style", samples.STYLES)
def test_valid_template_of_every_style_has_no_findings(style: str) -> None:
    found = [str(finding) for finding in check_template("sample", samples.files_of(style))]
    if style == "posterGeneric":  # the sample has what phones before iOS 27, and no phone, show
        assert [each.split(":")[1] for each in found] == [" posterGeneric", " posterGeneric.secondaryFields"]
    else:
        assert found == []


@pytest.mark.parametrize("folder", sorted(PACKAGED.glob("*.pass")), ids=lambda folder: str(folder.name))
def test_packaged_templates_have_no_findings(folder: Path) -> None:
    files, unread = read_checked(folder)
    assert [*unread, *check_template(folder.stem, files)] == []


def one(findings: list[TemplateFinding]) -> TemplateFinding:
    assert len(findings) == 1, [str(finding) for finding in findings]
    return findings[0]


def generic(*fields: dict[str, Any]) -> dict[str, bytes]:
    return samples.files_of("generic", generic={"primaryFields": list(fields)})


def changed(**changes: object) -> dict[str, bytes]:
    return samples.files_of("coupon", **changes)


def without(key: str) -> dict[str, bytes]:
    content = json.loads(changed()["pass.json"])
    del content[key]
    return {**changed(), "pass.json": json.dumps(content).encode()}


PNG = samples.png(38, 38)
ERRORS: dict[str, tuple[dict[str, bytes], str]] = {
    "no pass.json": ({"icon.png": PNG, "icon@2x.png": PNG}, "pass.json: is missing"),
    "no JSON": ({**changed(), "pass.json": b"{"}, "pass.json: is not JSON"),
    "NaN": ({**changed(), "pass.json": b'{"maxDistance": NaN}'}, "NaN is not a JSON number"),
    "no object": ({**changed(), "pass.json": b"[]"}, "must be a JSON object"),
    "key twice": (
        {**changed(), "pass.json": changed()["pass.json"].replace(b"{", b'{"description": "x",', 1)},
        "pass.json: description: occurs twice",
    ),
    "no description": (without("description"), "description: is missing; Apple requires it"),
    "no style": (without("coupon"), "has no style"),
    "two styles": (changed(generic={}), "has the styles coupon and generic"),
    "number as text": (changed(maxDistance="far"), 'maxDistance: "far": must be a number'),
    "text as number": (changed(logoText=5), "logoText: 5: must be a text"),
    "bool as text": (changed(voided="yes"), 'voided: "yes": must be true or false'),
    "null": (changed(logoText=None), "logoText: null is not a value of Apple's format"),
    "colour by name": (changed(backgroundColor="red"), "must be a color such as rgb"),
    "number over 64 bits": (changed(maxDistance=10**43), "maxDistance: a number of very many digits: must be a number"),
    "number over any": (
        {**changed(), "pass.json": changed()["pass.json"].replace(b"{", b'{"maxDistance": 1e400,', 1)},
        "maxDistance: inf",
    ),
    "half a character": (generic({"key": "a", "value": "x", "label": "Concert \ud83c"}), "primaryFields[0].label"),
    "date with fraction": (changed(expirationDate="2026-12-24T18:30:00.000Z"), "without fractions"),
    "no date": (changed(expirationDate="soon"), 'expirationDate: "soon": must be a date'),
    "half an interval": (changed(relevantDates=[{"startDate": "2026-12-24T18:30Z"}]), "relevantDates[0]"),
    "date in semantics": (changed(semantics={"eventEndDate": "late"}), "semantics.eventEndDate: "),
    "URL ends in /v1": (changed(webServiceURL="https://a.example/v1/"), "must not end in /v1"),
    "URL without TLS": (changed(webServiceURL="http://a.example"), "must begin with https://"),
    "no URL": (changed(appLaunchURL="example"), "must be a URL"),
    "eleven locations": (changed(locations=[{"latitude": 1, "longitude": 1}] * 11), "at most 10"),
    "latitude": (changed(locations=[{"latitude": 91, "longitude": 1}]), "locations[0].latitude: 91"),
    "three actions": (changed(featuredActions=[{"identifier": "1", "type": "call", "url": "tel:1"}] * 3), "at most 2"),
    "action to nowhere": (changed(featuredActions=[{"identifier": "1", "type": "call"}]), "featuredActions[0]: "),
    "short token": (changed(authenticationToken="short"), "at least 16"),
    "field without value": (generic({"key": "a"}), "generic.primaryFields[0].value: is missing"),
    "field without key": (generic({"value": "a"}), "generic.primaryFields[0].key: is missing"),
    "key in two places": (
        generic({"key": "a", "value": "1"}, {"key": "a", "value": "2"}),
        'generic.primaryFields[1].key: "a" is already the key of generic.primaryFields[0]',
    ),
    "value is a list": (generic({"key": "a", "value": []}), "must be a text or a number"),
    "text in a number": (generic({"key": "a", "value": "x", "currencyCode": "EUR"}), '"x" must be a number'),
    "no currency": (generic({"key": "a", "value": 1, "currencyCode": "euro"}), "three letters"),
    "text in a date": (generic({"key": "a", "value": "x", "timeStyle": "PKDateStyleShort"}), '"x" must be a date'),
    "unknown date style": (
        generic({"key": "a", "value": "2026-12-24T18:30Z", "dateStyle": "short"}),
        "PKDateStyleNone",
    ),
    "row 2": (generic({"key": "a", "value": "x", "row": 2}), "generic.primaryFields[0].row: 2"),
    "transit": (samples.files_of("boardingPass", boardingPass={"transitType": "rail"}), "boardingPass.transitType"),
    "icon missing": ({"pass.json": changed()["pass.json"]}, "icon.png: is missing; phones refuse a pass without it"),
    "no PNG": ({**changed(), "logo.png": b"GIF89a"}, "logo.png: is not a PNG"),
    "half a PNG": ({**changed(), "logo.png": PNG[:-20]}, "logo.png: is a damaged PNG"),
    "a JPEG": ({**changed(), "photo.jpg": b"\xff\xd8"}, "photo.jpg: Wallet only shows PNGs"),
    "strings broken": (
        {**changed(), "en.lproj/pass.strings": b'"a" = "b"\n"c" = "d";'},
        "en.lproj/pass.strings: line 2, column 1: expected",
    ),
    "no language": ({**changed(), "english!.lproj/pass.strings": b""}, "is not a language; name it like en.lproj"),
    "strings nowhere": ({**changed(), "pass.strings": b""}, "is not in a language folder"),
    "personalization": (
        {
            **changed(),
            "personalization.json": b'{"description": "x", "requiredPersonalizationFields": []}',
            "personalizationLogo@2x.png": PNG,
        },
        "personalization.json: requiredPersonalizationFields",
    ),
    "personalization without logo": (
        {
            **changed(),
            "personalization.json": b'{"description": "x",'
            b'"requiredPersonalizationFields": ["PKPassPersonalizationFieldName"]}',
        },
        "personalizationLogo.png: is missing",
    ),
    "half a character in personalization": (
        {
            **changed(nfc={"message": "x", "encryptionPublicKey": EVERY_KEY["nfc"]["encryptionPublicKey"]}),
            "personalization.json": b'{"description": "\\ud83c", "requiredPersonalizationFields": '
            b'["PKPassPersonalizationFieldName"]}',
            "personalizationLogo@2x.png": PNG,
        },
        "personalization.json: description: ",
    ),
    "half a character in a key": (
        {**changed(), "pass.json": b'{"\\ud83c": 1' + changed()["pass.json"].replace(b"{", b",", 1)},
        "pass.json: \\ud83c: is a key with half of a character",
    ),
    "path out": ({**changed(), "../icon.png": PNG}, "is not a path within the folder"),
}


@pytest.mark.parametrize(("files", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_error_names_its_place_and_problem(files: dict[str, bytes], message: str) -> None:
    finding = one([finding for finding in check_template("sample", files) if finding.level is Level.ERROR])
    assert message in str(finding)


WARNINGS: dict[str, tuple[dict[str, bytes], str]] = {
    "unknown key": (changed(logoTxt="x"), "pass.json: logoTxt: is not a key that Apple documents"),
    "unknown key of a field": (generic({"key": "a", "value": "x", "lable": "x"}), "generic.primaryFields[0].lable"),
    "hex colour": (changed(backgroundColor="#1203ff"), 'backgroundColor: "#1203ff" is not in the form'),
    "barcode": (changed(barcode={"format": "PKBarcodeFormatQR"}), "barcode: is deprecated since iOS 9"),
    "relevantDate": (changed(relevantDate="2026-12-24T18:30Z"), "relevantDate: is deprecated since iOS 18"),
    "new barcodes alone": (
        changed(barcodes=[{"format": "PKBarcodeFormatEAN13"}]),
        "phones before iOS 27 draw none of these",
    ),
    "scheme": (
        changed(preferredStyleSchemes=["posterTicket"]),
        'preferredStyleSchemes[0]: "posterTicket": must be one of',
    ),
    "change message": (generic({"key": "a", "value": "x", "changeMessage": "It changed"}), "'It changed' has no %@"),
    "change message of a language": (
        {
            **generic({"key": "a", "value": "x", "changeMessage": "m"}),
            "en.lproj/pass.strings": b'"m" = "Now %@";',
            "de.lproj/pass.strings": b'"m" = "Neu";',
        },
        "de.lproj/pass.strings: \"m\": 'Neu' has no %@",
    ),
    "text lacks in a language": (
        {**changed(), "en.lproj/pass.strings": b'"a" = "b";', "de.lproj/pass.strings": b""},
        "de.lproj/pass.strings: lacks a",
    ),
    "large image": ({**changed(), "logo@2x.png": samples.png(400, 90)}, "is 400x90 pixels, its place 320x100"),
    "not sharp": ({**changed(), "footer.png": samples.png(10, 10)}, "is blurred on every phone sold"),
    "image of another style": ({**changed(), "thumbnail@2x.png": PNG}, "is not shown by style coupon"),
    "unknown image": ({**changed(), "picture.png": PNG}, "is not an image that Wallet shows"),
    "manifest": ({**changed(), "manifest.json": b"{}"}, "is created for each pass"),
    "other folder": (
        {**changed(), "images/icon.txt": b""},
        "Wallet only reads folders named xx.lproj",
    ),
}


@pytest.mark.parametrize(("files", "message"), WARNINGS.values(), ids=WARNINGS.keys())
def test_problem_that_phones_tolerate_is_a_warning(files: dict[str, bytes], message: str) -> None:
    findings = check_template("sample", files)
    assert {finding.level for finding in findings} == {Level.WARNING}
    assert any(message in str(finding) for finding in findings), [str(finding) for finding in findings]


def test_unknown_key_is_reported_beside_errors() -> None:
    said = [str(finding) for finding in check_template("sample", changed(voided="yes", logoTxt="x"))]
    assert said == [
        'pass.json: voided: "yes": must be true or false (Apple, Pass)',
        "pass.json: logoTxt: is not a key that Apple documents; phones ignore it; did you mean logoText?",
    ]


def test_strings_are_read_in_every_encoding() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        assert check_template("sample", {**changed(), "en.lproj/pass.strings": '"a" = "ä";'.encode(encoding)}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "value", "primaryFields", "format", "x"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(PASS_KEYS)), JSON, max_size=6))
def test_any_pass_json_ends_in_findings_and_never_in_an_exception(content: dict[str, Any]) -> None:
    for finding in check_template("sample", {"pass.json": json.dumps(content).encode()}):
        assert str(finding)
