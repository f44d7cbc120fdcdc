"""Tests of `template push` and `pull`: what is stored, refused and given back."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import png
from typer.testing import CliRunner

from chalicelib.aws.templates import PACKAGED, read_folder
from chalicelib.passes.template import Template
from infra.commands import app
from infra.local.run import LocalRun
from infra.operate.templates.bucket import TemplatesBucket, for_designer
from infra.operate.templates.folder import zipped_folder
from infra.stage.stage import Stage
from tests.stack.infra.operate.templates.template_commands import break_, make, run
from tests.support import samples


def test_pushed_template_is_listed_and_pulled_unchanged(
    stack: LocalRun, folder: Path, name: str, tmp_path: Path
) -> None:
    pushed = run("push", folder, "--stage", stack.stage, "--json", "--keep-images")
    assert pushed.exit_code == 0, pushed.output
    revision = json.loads(pushed.stdout.splitlines()[-1])["revision"]
    assert "was current already" in run("push", folder, "--stage", stack.stage, "--keep-images").output
    rows = {row["template"]: row for row in json.loads(run("list", "--stage", stack.stage, "--json").stdout)}
    assert rows[name]["revision"] == revision
    assert datetime.fromisoformat(rows[name]["pushed_at"]) <= datetime.now(UTC)
    assert rows["boarding"] == {
        "template": "boarding",
        "revision": "packaged",
        "pushed_at": None,
        "revisions": [],
    }
    into = tmp_path / "pulled"
    into.mkdir()
    assert run("pull", name, "--stage", stack.stage, "--into", into).exit_code == 0
    assert {path.name: path.read_bytes() for path in (into / f"{name}.pass").iterdir()} == samples.files_of("generic")


def test_push_recompresses_images_without_loss(stack: LocalRun, folder: Path, name: str, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    pushed = run("push", folder, "--stage", stack.stage, "--json")
    images = json.loads(pushed.stdout.splitlines()[-1])["images"]
    assert images["bytes_before"] == sum(map(len, before.values()))
    assert f"{images['bytes_before']:,} to {images['bytes_after']:,} bytes" in pushed.stderr
    assert "was current already" in run("push", folder, "--stage", stack.stage).output
    into = tmp_path / "pulled"
    into.mkdir()
    assert run("pull", name, "--stage", stack.stage, "--into", into).exit_code == 0
    pulled = into / f"{name}.pass"
    stored = {path.name: path.read_bytes() for path in pulled.glob("*.png")}
    assert sum(map(len, stored.values())) == images["bytes_after"] < images["bytes_before"]
    for file, data in before.items():
        assert list(png.Reader(bytes=stored[file]).asRGBA8()[2]) == list(png.Reader(bytes=data).asRGBA8()[2])
    assert "was current already" in run("push", pulled, "--stage", stack.stage).output


def test_packaged_template_is_pulled_like_a_pushed_one(stack: LocalRun, tmp_path: Path) -> None:
    for form in ("pass", "pkpasstemplate"):
        done = run("pull", "rewards", "--stage", stack.stage, "--into", tmp_path, "--as", form)
        assert done.exit_code == 0, done.output
        assert run("check", tmp_path / f"rewards.{form}").exit_code == 0
    pulled = read_folder(tmp_path / "rewards.pass")
    assert pulled == read_folder(PACKAGED / "rewards.pass")
    assert "never pushed" in str(run("pull", "unknown", "--stage", stack.stage, "--into", tmp_path).exception)


def test_template_is_copied_to_another_name_by_standard_output_and_input(
    stack: LocalRun, name: str, tmp_path: Path
) -> None:
    pulled = run("pull", "rewards", "--stage", stack.stage, "--into", "-")
    (tmp_path / "rewards.zip").write_bytes(pulled.stdout_bytes)
    with zipfile.ZipFile(tmp_path / "rewards.zip") as archive:
        files = {path.removeprefix("rewards.pass/"): archive.read(path) for path in archive.namelist()}
    assert files == read_folder(PACKAGED / "rewards.pass")
    arguments = ["template", "push", "-", "--stage", stack.stage, "--keep-images"]
    pushed = CliRunner().invoke(app, arguments, input=zipped_folder(f"{name}.pass", files))
    assert pushed.exit_code == 0, pushed.output
    assert TemplatesBucket(Stage.open(stack.stage)).files(name) == files


def test_template_of_pass_designer_is_pushed_and_pulled(stack: LocalRun, name: str, tmp_path: Path) -> None:
    field = {"key": "member", "value": "Ada", "_id": "0A"}
    files = {**samples.files_of("generic", generic={"primaryFields": [field]}), "tooling.json": b"{}", "notes.md": b"x"}
    packed = tmp_path / f"{name}.pkpasstemplate"
    with zipfile.ZipFile(packed, "w") as archive:
        for path, data in files.items():
            archive.writestr(f"{name}.pkpasstemplate/{path}", data)
    pushed = run("push", packed, "--stage", stack.stage, "--keep-images")
    assert pushed.exit_code == 0, pushed.output
    assert "notes.md: is left out" in pushed.output
    into = tmp_path / "pulled"
    into.mkdir()
    arguments = ("pull", name, "--stage", stack.stage, "--into", into)
    assert run(*arguments, "--as", "pkpasstemplate").exit_code == 0
    assert run(*arguments).exit_code == 0
    designer = into / f"{name}.pkpasstemplate"
    assert json.loads((designer / "tooling.json").read_text())["designerVersion"] == "1.0"
    content = json.loads((designer / "pass.json").read_text())
    assert content["generic"]["primaryFields"] == [field]
    assert not (designer / "notes.md").exists()
    plain = {path.name: path.read_bytes() for path in (into / f"{name}.pass").iterdir()}
    assert plain == {path: data for path, data in files.items() if path not in ("tooling.json", "notes.md")}
    assert run("check", designer).exit_code == 0


def test_fields_pulled_for_pass_designer_have_different_identifiers() -> None:
    files = samples.files_of(
        "eventTicket", featuredActions=[{"identifier": "1", "type": "shop", "url": "https://a.example"}]
    )
    made = for_designer(files)
    content = json.loads(made["pass.json"])
    fields = [field for group in content["eventTicket"].values() for field in group]
    identifiers = [member["_id"] for member in (*fields, *content["featuredActions"])]
    assert len(set(identifiers)) == len(fields) + 1
    assert Template.parse("sample", made).content == Template.parse("sample", files).content


def test_template_with_errors_is_not_stored(stack: LocalRun, folder: Path, name: str) -> None:
    break_(folder)
    refused = run("push", folder, "--stage", stack.stage)
    assert f"template {name} has errors; nothing was stored:\n  icon.png: is not a PNG" in str(refused.exception)
    assert name not in {row["template"] for row in json.loads(run("list", "--stage", stack.stage, "--json").stdout)}


def test_push_warns_of_removed_fields(stack: LocalRun, folder: Path) -> None:
    assert "were removed" not in run("push", folder, "--stage", stack.stage).output
    make(folder, samples.files_of("generic", generic={"primaryFields": [{"key": "member", "value": "x"}]}))
    output = run("push", folder, "--stage", stack.stage).output
    assert "the fields level, since, terms, visits were removed: items that contain them are refused" in output
