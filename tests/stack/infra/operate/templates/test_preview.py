"""Tests of `template preview`, of an item and of an existing pass."""

import json
from base64 import b64encode
from pathlib import Path

import boto3
from typer.testing import CliRunner

from infra.commands import app
from infra.local.run import LocalRun
from tests.stack.infra.operate.templates.template_commands import make, run
from tests.support import samples


def test_preview_shows_the_values_of_an_item(folder: Path, tmp_path: Path) -> None:
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"fields": {"member": "<Ada>"}}))
    done = run("preview", folder, "--item", item, "--output", tmp_path / "out.html")
    assert done.exit_code == 0, done.output
    shown = (tmp_path / "out.html").read_text()
    assert "&lt;Ada&gt;" in shown
    assert "Grace Hopper" not in shown


def test_preview_shows_the_images_of_an_item(stack: LocalRun, folder: Path, tmp_path: Path) -> None:
    photo, output = samples.png(180, 180, seed=4), tmp_path / "out.html"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "ada.png").write_bytes(photo)
    for images in ({"thumbnail": "photos/ada.png"}, {"thumbnail": {"2x": "photos/ada.png"}}):
        (tmp_path / "item.json").write_text(json.dumps({"images": images}))
        done = run("preview", folder, "--item", tmp_path / "item.json", "--output", output, "--overwrite")
        assert done.exit_code == 0, done.output
        assert b64encode(photo).decode() in output.read_text()
    uploaded = CliRunner().invoke(app, ["image", "put", str(tmp_path / "photos/ada.png"), "--stage", stack.stage])
    (tmp_path / "item.json").write_text(json.dumps({"images.thumbnail": uploaded.stdout.strip()}))
    output.unlink()
    done = run("preview", folder, "--item", tmp_path / "item.json", "--output", output)
    assert "is the key of an image in a stage; give --stage" in done.output
    done = run(
        "preview", folder, "--item", tmp_path / "item.json", "--output", output, "--overwrite", "--stage", stack.stage
    )
    assert done.exit_code == 0, done.output
    assert b64encode(photo).decode() in output.read_text()


def test_preview_shows_an_existing_pass_and_its_lock_screen(
    stack: LocalRun, folder: Path, name: str, passes: list[str], tmp_path: Path
) -> None:
    level = {"key": "level", "label": "LEVEL", "value": "-", "changeMessage": "Level is now %@"}
    make(folder, samples.files_of("generic", generic={"headerFields": [level]}))
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    table.put_item(Item={"pass_id": passes[0], "template": name, "fields": {"level": "Bronze"}})
    output = tmp_path / "out.html"
    arguments = ("--pass", passes[0], "--stage", stack.stage, "--change", "level=Silver", "--output", output)
    done = run("preview", folder, *arguments, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["findings"] == []
    shown = output.read_text()
    assert passes[0] in shown
    assert "Level is now Silver" in shown
    assert "Bronze" not in shown


def test_preview_of_a_pass_without_a_folder_shows_its_template(
    stack: LocalRun, folder: Path, passes: list[str], tmp_path: Path
) -> None:
    make(folder, samples.files_of("generic", logoText="As pushed"))
    assert run("push", folder, "--stage", stack.stage).exit_code == 0
    make(folder, samples.files_of("generic", logoText="Not pushed"))
    output = tmp_path / "out.html"
    done = run("preview", "--pass", passes[0], "--stage", stack.stage, "--output", output)
    assert done.exit_code == 0, done.output
    assert "As pushed" in output.read_text()
    assert "give the folder of a template" in " ".join(run("preview").output.split())


def test_preview_of_a_pass_needs_its_stage(folder: Path) -> None:
    done = run("preview", folder, "--pass", "pass.com.acme.boarding/7K2M9Q")
    assert done.exit_code == 2
    assert "name the stage that has the pass" in done.output
