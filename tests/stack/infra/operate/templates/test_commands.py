"""Tests of `template check|preview|push|pull|list|rollback|delete` on the command line."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
import png
import pytest
from typer.testing import CliRunner, Result

from chalicelib.aws.templates import PACKAGED, read_folder
from chalicelib.core.identifiers import PassId
from chalicelib.passes.template import Template
from infra.commands import app
from infra.local.phone import Phone
from infra.local.run import LocalRun
from infra.operate.templates.bucket import TemplatesBucket, for_designer
from infra.operate.templates.folder import zipped_folder
from infra.operate.templates.touch import touch, untouched
from infra.stage.stage import Stage
from tests.conftest import Issuer
from tests.support import samples

PATIENCE_SECONDS = 40.0


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["template", *map(str, arguments)])


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.fixture
def name() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    return make(tmp_path / f"{name}.pass", samples.files_of("generic"))


def break_(folder: Path) -> None:
    (folder / "icon.png").write_bytes(b"GIF89a")


def test_check_ends_with_1_if_there_is_an_error_and_else_with_0(folder: Path) -> None:
    done = run("check", folder)
    assert (done.exit_code, done.stdout.count("no problems found")) == (0, 1)
    break_(folder)
    done = run("check", folder)
    assert done.exit_code == 1
    assert "error: icon.png: is not a PNG; export it as one" in done.stdout


def test_findings_are_printed_as_json(folder: Path) -> None:
    break_(folder)
    done = run("check", folder, "--json")
    assert json.loads(done.stdout)[str(folder)] == [
        {"severity": "error", "file": "icon.png", "path": "", "problem": "is not a PNG; export it as one", "source": ""}
    ]


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


def revisions_of(stack: LocalRun, name: str) -> tuple[str, list[str]]:
    rows = {row["template"]: row for row in json.loads(run("list", "--stage", stack.stage, "--json").stdout)}
    return rows[name]["revision"], [each["revision"] for each in rows[name]["revisions"]]


def revision_in(result: Result) -> str:
    assert result.exit_code == 0, result.output
    revision: str = json.loads(result.stdout.splitlines()[-1])["revision"]
    return revision


def test_rollback_makes_an_older_revision_current_and_keeps_all(stack: LocalRun, folder: Path, name: str) -> None:
    pushed = []
    for text in ("First", "Second"):
        make(folder, samples.files_of("generic", logoText=text))
        pushed.append(revision_in(run("push", folder, "--stage", stack.stage, "--json")))
    first, second = pushed
    assert revisions_of(stack, name) == (second, [second, first])
    assert f"{first}" in run("list", "--stage", stack.stage).stdout
    assert revision_in(run("rollback", name, "--stage", stack.stage, "--json")) == first
    assert revisions_of(stack, name)[0] == first
    assert sorted(revisions_of(stack, name)[1]) == sorted(pushed)
    done = run("rollback", name, first, "--stage", stack.stage)
    assert "was current already" in done.output
    assert revision_in(run("rollback", name, second, "--stage", stack.stage, "--json")) == second
    assert "has no revision none; it has" in str(run("rollback", name, "none", "--stage", stack.stage).exception)
    assert "was never pushed" in str(run("rollback", f"{name}-x", "--stage", stack.stage).exception)


def test_rollback_does_not_return_to_a_revision_that_was_rolled_back(stack: LocalRun, folder: Path, name: str) -> None:
    """The good one was current before either bad one, though a bad one was pushed after it."""
    pushed = []
    for text in ("Good", "Bad", "Worse"):
        make(folder, samples.files_of("generic", logoText=text))
        pushed.append(revision_in(run("push", folder, "--keep-images", "--stage", stack.stage, "--json")))
        if text != "Good":
            assert revision_in(run("rollback", name, "--stage", stack.stage, "--json")) == pushed[0]
    assert revision_in(run("rollback", name, pushed[2], "--stage", stack.stage, "--json")) == pushed[2]
    assert revision_in(run("rollback", name, "--stage", stack.stage, "--json")) == pushed[0]


def test_rollback_of_the_only_revision_is_refused(stack: LocalRun, folder: Path, name: str) -> None:
    assert run("push", folder, "--stage", stack.stage).exit_code == 0
    refused = run("rollback", name, "--stage", stack.stage)
    assert "no revision was pushed before the current one" in str(refused.exception)


def test_template_that_passes_use_is_deleted_only_by_force(
    stack: LocalRun, folder: Path, name: str, passes: list[str]
) -> None:
    assert run("push", folder, "--stage", stack.stage).exit_code == 0
    refused = run("delete", name, "--stage", stack.stage, "--yes")
    assert refused.exit_code == 1
    assert f"template {name} is used by passes" in str(refused.exception)
    assert sum(pass_id in str(refused.exception) for pass_id in passes) == 5
    assert name in run("list", "--stage", stack.stage).stdout
    done = run("delete", name, "--stage", stack.stage, "--yes", "--force", "--json")
    assert json.loads(done.stdout) == {"template": name, "deleted_revisions": 1, "packaged": False}
    assert name not in run("list", "--stage", stack.stage).stdout


def test_unused_template_is_deleted_with_all_revisions_after_confirmation(
    stack: LocalRun, folder: Path, name: str
) -> None:
    for text in ("First", "Second"):
        make(folder, samples.files_of("generic", logoText=text))
        assert run("push", folder, "--stage", stack.stage).exit_code == 0
    assert run("delete", name, "--stage", stack.stage).exit_code != 0  # no terminal to ask on
    assert name in run("list", "--stage", stack.stage).stdout
    assert run("delete", name, "--stage", stack.stage, "--yes").exit_code == 0
    left_over = boto3.client("s3").list_objects_v2(
        Bucket=Stage.open(stack.stage).templates_bucket, Prefix=f"templates/{name}/"
    )
    assert left_over["KeyCount"] == 0
    assert "was never pushed" in str(run("delete", name, "--stage", stack.stage, "--yes").exception)


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


@pytest.fixture
def passes(stack: LocalRun, name: str) -> Iterator[list[str]]:
    """Passes of the template, beside one of another template."""
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_ids = [f"{stack.pass_type_identifier}/{name}-{number}" for number in range(12)]
    other = f"{stack.pass_type_identifier}/{name}-other"
    with table.batch_writer() as batch:
        for pass_id in pass_ids:
            batch.put_item(Item={"pass_id": pass_id, "template": name})
        batch.put_item(Item={"pass_id": other, "template": f"{name}-other"})
    yield pass_ids
    with table.batch_writer() as batch:
        for pass_id in (*pass_ids, other):
            batch.delete_item(Key={"pass_id": pass_id})


def left(stack: LocalRun, name: str, revision: str) -> list[str]:
    pages = untouched(Stage.open(stack.stage), template=name, revision=revision)
    return [pass_id for page in pages for pass_id in page]


def test_each_pass_is_touched_once_also_after_an_interruption(stack: LocalRun, name: str, passes: list[str]) -> None:
    stage = Stage.open(stack.stage)
    touched: list[int] = []

    def stop(count: int) -> None:
        touched.append(count)
        raise KeyboardInterrupt

    def touch_all(report: Any) -> int:  # noqa: ANN401 - any callback
        pages = untouched(stage, template=name, revision="r1")
        return touch(stage, pages, template=name, revision="r1", rate=1000, on_progress=report)

    with pytest.raises(KeyboardInterrupt):
        touch_all(stop)
    remaining = left(stack, name, "r1")
    assert len(remaining) == len(passes) - sum(touched)
    assert touch_all(touched.append) == len(remaining)
    assert touch_all(touched.append) == 0
    assert left(stack, name, "r1") == []
    assert sorted(left(stack, name, "r2")) == sorted(passes)


def test_touch_skips_passes_that_were_deleted_or_changed_their_template(
    stack: LocalRun, name: str, passes: list[str]
) -> None:
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pages = list(untouched(Stage.open(stack.stage), template=name, revision="r1"))
    table.delete_item(Key={"pass_id": passes[0]})
    table.put_item(Item={"pass_id": passes[1], "template": "boarding"})
    done = touch(Stage.open(stack.stage), pages, template=name, revision="r1", rate=1000, on_progress=lambda _: None)
    assert done == len(passes) - 2
    assert "Item" not in table.get_item(Key={"pass_id": passes[0]})
    assert "template_revision" not in table.get_item(Key={"pass_id": passes[1]})["Item"]


def test_touching_is_limited_to_the_rate(stack: LocalRun, name: str, passes: list[str]) -> None:
    started = time.monotonic()
    pages = untouched(Stage.open(stack.stage), template=name, revision="r3")
    touch(Stage.open(stack.stage), pages, template=name, revision="r3", rate=20, on_progress=lambda _: None)
    assert time.monotonic() - started >= (len(passes) - 2) / 20


def test_notify_updates_passes_on_phones(
    stack: LocalRun, folder: Path, name: str, phone: Phone, issuer: Issuer
) -> None:
    assert run("push", folder, "--stage", stack.stage).exit_code == 0
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = f"{stack.pass_type_identifier}/{name}"
    table.put_item(Item={"pass_id": pass_id, "template": name, "fields": {"member": "Ada"}})
    key = (stack.pass_type_identifier, name)
    issued = issuer.issues(PassId.parse(pass_id))
    phone.adds(issued.content, last_modified=issued.headers.get("Last-Modified"))
    assert phone.passes[key].content["logoText"] == "Acme Gym"
    make(folder, samples.files_of("generic", logoText="Acme Club"))
    done = run("push", folder, "--stage", stack.stage, "--notify", "--yes", "--rate", 100, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["touched"] == 1
    until = time.monotonic() + PATIENCE_SECONDS
    while not any(p["token"] == phone.push_token for p in httpx.get(f"{stack.apns_control_url}/pushes").json()):
        assert time.monotonic() < until, "no push came"
        time.sleep(0.05)
    phone.receives_push(stack.pass_type_identifier)
    assert phone.passes[key].content["logoText"] == "Acme Club"
    assert phone.passes[key].fields()["member"]["value"] == "Ada"
    table.delete_item(Key={"pass_id": pass_id})


def test_rollback_with_notify_updates_passes_on_phones(
    stack: LocalRun, folder: Path, name: str, phone: Phone, issuer: Issuer
) -> None:
    for text in ("Acme Gym", "Acme Club"):
        make(folder, samples.files_of("generic", logoText=text))
        assert run("push", folder, "--stage", stack.stage).exit_code == 0
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = PassId(stack.pass_type_identifier, name)
    table.put_item(Item={"pass_id": str(pass_id), "template": name, "fields": {"member": "Ada"}})
    issued = issuer.issues(pass_id)
    phone.adds(issued.content, last_modified=issued.headers.get("Last-Modified"))
    done = run("rollback", name, "--stage", stack.stage, "--notify", "--yes", "--rate", 100, "--json")
    assert json.loads(done.stdout.splitlines()[-1])["touched"] == 1
    wait(lambda: any(p["token"] == phone.push_token for p in pushes(stack)), "the push")
    phone.receives_push(stack.pass_type_identifier)
    assert phone.passes[stack.pass_type_identifier, name].content["logoText"] == "Acme Gym"
    table.delete_item(Key={"pass_id": str(pass_id)})


def test_push_rechecks_items_that_were_refused_because_of_the_template(
    stack: LocalRun, folder: Path, name: str, phone: Phone, issuer: Issuer
) -> None:
    """The pipeline is often deployed before the template, for new passes and for changed ones."""
    table, versions = (boto3.resource("dynamodb").Table(stack.tables[role]) for role in ("passes", "versions"))
    held, new = (PassId(stack.pass_type_identifier, f"{name}-{kind}") for kind in ("held", "new"))
    table.put_item(Item={"pass_id": str(held), "template": stack.template})
    phone.adds(issuer.issues(held).content)
    for pass_id in (held, new):
        table.put_item(Item={"pass_id": str(pass_id), "template": name, "fields": {"member": "Ada"}})

    def refused() -> bool:
        rows = [versions.get_item(Key={"pass_id": str(p)}, ConsistentRead=True).get("Item", {}) for p in (held, new)]
        return all("refused" in row for row in rows)

    wait(refused, "the refusals")
    done = run("push", folder, "--stage", stack.stage, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["rechecked"] == 2
    wait(lambda: any(p["token"] == phone.push_token for p in pushes(stack)), "the push")
    phone.receives_push(stack.pass_type_identifier)
    assert phone.passes[stack.pass_type_identifier, held.serial_number].fields()["member"]["value"] == "Ada"
    wait(lambda: "refused" not in versions.get_item(Key={"pass_id": str(new)})["Item"], "the stamp of the new pass")
    assert json.loads(run("push", folder, "--stage", stack.stage, "--json").stdout.splitlines()[-1])["rechecked"] == 0


def pushes(stack: LocalRun) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{stack.apns_control_url}/pushes").json()
    return found


def wait(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, f"{what} did not come"
        time.sleep(0.05)


@pytest.mark.parametrize("wrong", ["a b", "x" * 65, "ä"])
def test_folder_with_an_invalid_template_name_is_refused(tmp_path: Path, wrong: str) -> None:
    folder = make(tmp_path / f"{wrong}.pass", samples.files_of("generic"))
    for command in ("check", "preview", "push"):
        assert "is not a valid template name: rename it" in str(run(command, folder).exception)


def test_ctrl_c_while_touching_ends_with_130_and_says_how_to_resume(
    stack: LocalRun, folder: Path, passes: list[str]
) -> None:
    command = [sys.executable, "-m", "infra", "template", "push", str(folder), "--stage", stack.stage]
    process = subprocess.Popen(
        [*command, "--notify", "--yes", "--rate", "0.5"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    until = time.monotonic() + PATIENCE_SECONDS
    while not any("template_revision" in table.get_item(Key={"pass_id": p}).get("Item", {}) for p in passes):
        assert time.monotonic() < until, "nothing was touched"
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "passes in" in errors
    assert "run the same command again" in errors
