"""Images of single passes on phones: a stamp card by the guide's text, and a card with a person's photo."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from chalicelib.core.identifiers import PassId
from infra.commands import app
from infra.local.phone import InstalledPass, Phone
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support import samples
from tests.support.eventually import Apns, eventually

STRIPS = PROJECT / "docs" / "guides" / "stamp-card"
GUIDE = (PROJECT / "docs" / "guides" / "templates.md").read_text()


def run(stack: LocalRun, *arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments), "--stage", stack.stage], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def phones() -> Iterator[dict[str, Phone]]:
    """A phone for each language of the stamp card."""
    there = {language: Phone(language=language) for language in ("en", "de")}
    yield there
    for phone in there.values():
        phone.close()


def strip(stamps: int) -> bytes:
    return (STRIPS / str(stamps) / "strip@2x.png").read_bytes()


@pytest.fixture
def write_card(
    stack: LocalRun, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], None]:
    """Upload the strips as the guide does, and provide its function, with the names of this stage."""
    monkeypatch.chdir(PROJECT)
    files = [path.relative_to(PROJECT) for path in sorted(STRIPS.glob("*/strip@2x.png"))]
    (tmp_path / "strips.json").write_text(run(stack, "image", "put", *files, "--json"))
    monkeypatch.chdir(tmp_path)
    block = next(code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "write_card" in code)
    monkeypatch.setenv("PASSWIRE_PASSES_TABLE", stack.tables["passes"])
    code = block.replace("pass.com.acme.stamps", pipeline.pass_type_identifier)
    defined: dict[str, Any] = {}
    exec(compile(code, "guide", "exec"), defined)  # noqa: S102 - code of this repository
    written: Callable[[str, int], None] = defined["write_card"]
    return written


def test_stamp_card_shows_each_new_stamp_in_the_language_of_the_person(
    write_card: Callable[[str, int], None],
    pipeline: Pipeline,
    issuer: Issuer,
    phones: dict[str, Phone],
    apns: Apns,
    serial_number: str,
) -> None:
    write_card(serial_number, 2)
    key = (pipeline.pass_type_identifier, serial_number)
    for phone in phones.values():
        phone.adds(issuer.issues(PassId(pipeline.pass_type_identifier, serial_number)).content)
        assert phone.passes[key].image("strip") == strip(2)
    write_card(serial_number, 3)
    eventually(lambda: all(apns.pushes_to(phone) for phone in phones.values()), "the pushes")
    shown = {language: phone.receives_push(key[0]) for language, phone in phones.items()}
    assert shown == {"en": ["You have 3 of 8 stamps"], "de": ["Sie haben 3 von 8 Stempeln"]}
    for phone in phones.values():
        assert phone.passes[key].image("strip") == strip(3)
        assert phone.passes[key].image("icon") is not None
        assert phone.passes[key].image("thumbnail") is None


@pytest.fixture
def photo_card(stack: LocalRun, tmp_path: Path) -> Iterator[str]:
    """Push a template of a card with a photo; provide its name."""
    name = f"photo-{secrets.token_hex(4)}"
    folder = tmp_path / f"{name}.pass"
    folder.mkdir()
    for path, data in samples.files_of("generic").items():
        (folder / path).write_bytes(data)
    run(stack, "template", "push", folder)
    yield name
    boto3.resource("s3").Bucket(stack.templates_bucket).objects.filter(Prefix=f"templates/{name}/").delete()


PHOTOS = {name: samples.png(180, 180, seed=seed) for seed, name in enumerate(("en", "de", "new"))}


@pytest.fixture
def keys(stack: LocalRun, tmp_path: Path) -> dict[str, str]:
    """Upload the photos; provide their keys."""
    keys = {}
    for name, data in PHOTOS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "thumbnail@2x.png").write_bytes(data)
        keys[name] = run(stack, "image", "put", tmp_path / name / "thumbnail@2x.png").strip()
    return keys


def test_photo_card_shows_the_photo_of_its_item(
    photo_card: str,
    keys: dict[str, str],
    pipeline: Pipeline,
    issuer: Issuer,
    phones: dict[str, Phone],
    apns: Apns,
    serial_number: str,
) -> None:
    """The photo for German phones differs; a new photo alone is an update without a message on the lock screen."""

    def write(**images: object) -> None:
        pipeline.writes(serial_number, template=photo_card, fields={"member": "Ada"}, images=images)

    def shown() -> dict[str, bytes | None]:
        return {language: installed(phone).image("thumbnail") for language, phone in phones.items()}

    def installed(phone: Phone) -> InstalledPass:
        return phone.passes[pipeline.pass_type_identifier, serial_number]

    write(thumbnail={"en": keys["en"], "de": keys["de"]})
    for phone in phones.values():
        phone.adds(issuer.issues(PassId(pipeline.pass_type_identifier, serial_number)).content)
    assert shown() == {"en": PHOTOS["en"], "de": PHOTOS["de"]}
    write(thumbnail=keys["new"])
    eventually(lambda: all(apns.pushes_to(phone) for phone in phones.values()), "the pushes")
    assert [phone.receives_push(pipeline.pass_type_identifier) for phone in phones.values()] == [[], []]
    assert shown() == {"en": PHOTOS["new"], "de": PHOTOS["new"]}
    assert installed(phones["en"]).content["generic"]["primaryFields"][0]["value"] == "Ada"
