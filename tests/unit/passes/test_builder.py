"""Tests of the builder of passes: which template, signer and archive it uses."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from chalicelib.core.errors import ConfigurationError
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template
from infra.local.certificates import DevelopmentChain
from tests.support import samples

NOW = datetime.now(UTC)
PERSONALIZATION = {
    "personalization.json": json.dumps({"requiredPersonalizationFields": [], "description": "Join"}).encode(),
    "personalizationLogo.png": samples.png(150, 40),
}


class SampleTemplates:
    """Source with one template, which remembers the requests for it."""

    def __init__(self) -> None:
        self.requested: list[tuple[str, float | None]] = []
        self.announced: list[str | None] = []

    def get(self, name: str, *, max_age_seconds: float | None = None, announced: str | None = None) -> Template:
        self.requested.append((name, max_age_seconds))
        self.announced.append(announced)
        return Template.parse(name, {**samples.files_of("coupon"), **PERSONALIZATION})


def build(
    builder: PassBuilder, pass_type_identifier: str = samples.PASS_TYPE_IDENTIFIER, *, personalized: bool = False
) -> dict[str, bytes]:
    """Build a pass and return its members by name."""
    built = builder.build(
        samples.item(pass_id=f"{pass_type_identifier}/S-1"),
        personalized=personalized,
        authentication_token=samples.TOKEN,
        web_service_url=samples.WEB_SERVICE_URL,
        at=NOW,
    )
    with zipfile.ZipFile(io.BytesIO(built)) as members:
        return {name: members.read(name) for name in members.namelist()}


def test_passes_are_signed_with_the_certificate_of_their_type(other: DevelopmentChain, signer: Signer) -> None:
    signers = {samples.PASS_TYPE_IDENTIFIER: signer, samples.OTHER_TYPE: samples.signer_of(other)}
    builder = PassBuilder(templates=SampleTemplates(), signer_for=signers.__getitem__)
    for pass_type_identifier, team in (
        (samples.PASS_TYPE_IDENTIFIER, "DEVTEAM001"),
        (samples.OTHER_TYPE, "OTHERTEAM1"),
    ):
        members = build(builder, pass_type_identifier)
        names = [c.subject.rfc4514_string() for c in pkcs7.load_der_pkcs7_certificates(members["signature"])]
        assert any(pass_type_identifier in name for name in names)
        content = json.loads(members["pass.json"])
        assert (content["passTypeIdentifier"], content["teamIdentifier"]) == (pass_type_identifier, team)


def test_pass_contains_the_token_and_the_url_of_the_service(signer: Signer) -> None:
    content = json.loads(build(PassBuilder(SampleTemplates(), lambda _: signer))["pass.json"])
    assert content["authenticationToken"] == samples.TOKEN.value
    assert content["webServiceURL"] == samples.WEB_SERVICE_URL


def test_personalized_pass_asks_for_no_personalization(signer: Signer) -> None:
    builder = PassBuilder(SampleTemplates(), lambda _: signer)
    assert PERSONALIZATION.keys() <= build(builder).keys()
    assert not PERSONALIZATION.keys() & build(builder, personalized=True).keys()


def test_announced_revision_of_the_item_is_asked_for(signer: Signer) -> None:
    templates = SampleTemplates()
    PassBuilder(templates, lambda _: signer).build(
        samples.item(template_revision="5f0c"),
        personalized=False,
        authentication_token=samples.TOKEN,
        web_service_url="",
        at=NOW,
    )
    assert templates.announced == ["5f0c"]


def test_age_of_the_template_is_limited_as_requested(signer: Signer) -> None:
    templates = SampleTemplates()
    PassBuilder(templates, lambda _: signer).build(
        samples.item(),
        personalized=False,
        authentication_token=samples.TOKEN,
        web_service_url=samples.WEB_SERVICE_URL,
        at=NOW,
        template_age_seconds=0.0,
    )
    assert templates.requested == [(samples.item().template, 0.0)]


def refused(error: Exception) -> Callable[[str], Signer]:
    def signer_for(pass_type_identifier: str) -> Signer:
        assert pass_type_identifier == samples.PASS_TYPE_IDENTIFIER
        raise error

    return signer_for


def test_pass_type_without_a_certificate_builds_no_pass() -> None:
    builder = PassBuilder(SampleTemplates(), refused(ConfigurationError("no certificate")))
    with pytest.raises(ConfigurationError, match="no certificate"):
        build(builder)
