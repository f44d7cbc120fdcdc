"""Tests of whole passes: the archive of a pass with texts of its item, and items that violate Apple's format."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime

import pytest

from chalicelib.aws.templates import Templates
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import localized_strings
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template
from chalicelib.preview import page
from infra.local.certificates import DevelopmentChain
from infra.local.phone import InstalledPass
from tests.support import samples

BOARDING = Templates().get("boarding")
REWARDS = Templates().get("rewards")
TEXTS = {"en": "Late", "de": "Verspätet"}


def files_of(pkpass: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pkpass)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def a_pass(
    template: Template, *, personalized: bool = False, signer: Signer | None = None, **attributes: object
) -> bytes:
    item = samples.item("S-1", template=template.name, **attributes)
    archive = template.archive_with(localized_strings(template, item), personalized=personalized)
    rendered = samples.rendered(template, item)
    return archive.with_pass(
        rendered, sign=lambda manifest: signer.sign(manifest, at=datetime.now(UTC)) if signer else b"unsigned"
    )


@pytest.mark.parametrize("personalized", [False, True])
@pytest.mark.parametrize(("template", "key"), [(BOARDING, "status"), (REWARDS, "level")])
def test_archive_with_texts_of_the_item_has_each_file_once_and_in_the_manifest(
    template: Template,
    key: str,
    personalized: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    plain = files_of(a_pass(template, personalized=personalized))
    own = files_of(a_pass(template, personalized=personalized, fields={key: TEXTS}))
    assert set(own) == set(plain)
    changed = {name for name, data in own.items() if data != plain[name]}
    strings = {name for name in own if name.endswith("pass.strings")}
    assert changed == strings | {"pass.json", "manifest.json"}
    digests = {
        name: hashlib.sha1(data, usedforsecurity=False).hexdigest()
        for name, data in own.items()
        if name not in ("manifest.json", "signature")
    }
    assert json.loads(own["manifest.json"]) == digests
    assert a_pass(template, personalized=personalized, fields={key: TEXTS}) == a_pass(
        template, personalized=personalized, fields={key: dict(reversed(TEXTS.items()))}
    )


@pytest.mark.parametrize(("language", "message"), [("en", "Late"), ("de-CH", "Verspätet"), ("fr", "Late")])
def test_phone_shows_the_change_in_its_language(language: str, message: str, chain: DevelopmentChain) -> None:
    signer = samples.signer_of(chain)
    before = InstalledPass.open(a_pass(BOARDING, signer=signer), language=language, last_modified=None)
    changed = a_pass(BOARDING, signer=signer, fields={"status": TEXTS})
    after = InstalledPass.open(changed, language=language, last_modified=None)
    assert after.changes_since(before) == [message]
    assert message in page(a_pass(BOARDING, fields={"status": TEXTS}), language=language)


def test_stored_item_that_violates_the_format_is_built_and_reported(chain: DevelopmentChain) -> None:
    reported: list[str] = []
    builder = PassBuilder(
        templates=Templates(),
        signer_for=lambda _: samples.signer_of(chain),
        on_invalid=lambda _, error: reported.append(str(error)),
    )
    for overrides in ({"backgroundColor": "Black"}, {"backgroundColor": "rgb(0, 0, 0)"}):
        pkpass = builder.build(
            samples.item(template="boarding", overrides=overrides),
            personalized=False,
            authentication_token=samples.TOKEN,
            web_service_url=samples.WEB_SERVICE_URL,
            at=datetime.now(UTC),
        )
        assert json.loads(files_of(pkpass)["pass.json"])["backgroundColor"] == overrides["backgroundColor"]
    (error,) = reported
    assert "overrides.backgroundColor" in error


def test_item_that_violates_the_format_is_refused_when_strict(chain: DevelopmentChain) -> None:
    builder = PassBuilder(templates=Templates(), signer_for=lambda _: samples.signer_of(chain))
    with pytest.raises(ItemError, match=r"overrides\.backgroundColor"):
        builder.build(
            samples.item(template="boarding", overrides={"backgroundColor": "Black"}),
            personalized=False,
            authentication_token=samples.TOKEN,
            web_service_url=samples.WEB_SERVICE_URL,
            at=datetime.now(UTC),
            strict=True,
        )
