"""Tests of finding passes that need an NFC certificate and are signed by an ordinary one."""

import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from chalicelib.passes.format.findings import Level
from chalicelib.passes.template import Template, TemplateError
from infra.local.certificates import Portal
from infra.operate.certificates.nfc import can_sign_nfc, check_template_certificates, find_refused_passes
from tests.support import samples

NFC = {"message": "1", "encryptionPublicKey": "x"}
FILES = {
    "plain": samples.files_of("storeCard"),
    "tap": samples.files_of("storeCard", nfc=NFC),
    "join": {**samples.files_of("storeCard"), "personalization.json": b"{}"},
}


class MemoryTemplates:
    def get(self, name: str, **_: object) -> Template:
        if name not in FILES:
            raise TemplateError(name, "", "is missing")
        return Template.parse(name, FILES[name])


@pytest.mark.parametrize("nfc", [True, False])
def test_certificate_is_recognized_by_its_extension_or_name(
    portal: Portal, rsa_key: rsa.RSAPrivateKey, *, nfc: bool
) -> None:
    issued = portal.issue(rsa_key.public_key(), pass_type_identifier="pass.a", team_identifier="T", nfc=nfc)
    assert can_sign_nfc(issued) is nfc


def item(number: int, template: str, owner: str = "pass.plain", **attributes: object) -> Mapping[str, object]:
    return {"pass_id": f"{owner}/{number}", "template": template, **attributes}


def test_passes_that_need_an_nfc_certificate_are_found() -> None:
    items: list[Mapping[str, object]] = [
        item(1, "plain"),
        item(2, "tap"),
        item(3, "tap"),
        item(4, "plain", overrides={"nfc": NFC}),
        item(5, "tap", overrides={"nfc": None}),
        item(6, "join"),
        item(7, "join", personalization={"fullName": "Ada"}),
        item(8, "tap", "pass.nfc"),
        item(9, "tap", "pass.without-certificate"),
        item(10, "missing"),
        {"pass_id": "invalid"},
    ]
    found = find_refused_passes(items, MemoryTemplates(), {"pass.plain": False, "pass.nfc": True})
    assert [(each.template, each.part, each.example, each.count) for each in found] == [
        ("join", "personalization.json", "pass.plain/6", 1),
        ("plain", "nfc", "pass.plain/4", 1),
        ("tap", "nfc", "pass.plain/2", 2),
    ]
    assert str(found[2]) == (
        "pass type pass.plain: phones refuse pass pass.plain/2 and 1 more that were examined of template tap: its nfc "
        "needs an NFC certificate, which this pass type does not have"
    )


@pytest.mark.parametrize(
    ("template", "can_sign", "expected"),
    [
        ("tap", {"pass.a": False}, (Level.ERROR, "pass.json", "nfc")),
        ("tap", {"pass.a": False, "pass.b": True}, (Level.WARNING, "pass.json", "nfc")),
        ("join", {"pass.a": False}, (Level.ERROR, "personalization.json", "")),
        ("tap", {"pass.a": True}, None),
        ("tap", {}, None),
        ("plain", {"pass.a": False}, None),
    ],
)
def test_template_is_checked_against_the_certificates_of_a_stage(
    template: str, can_sign: dict[str, bool], expected: tuple[Level, str, str] | None
) -> None:
    found = list(check_template_certificates(FILES[template], can_sign))
    assert [(each.level, each.file, each.path) for each in found] == ([expected] if expected else [])
    assert all("pass.a" in each.problem and "contact/passkit" in each.problem for each in found)


def test_template_that_is_not_json_has_no_findings_here() -> None:
    assert list(check_template_certificates({"pass.json": json.dumps([]).encode()}, {"pass.a": False})) == []
