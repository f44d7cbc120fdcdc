"""Tests of `--notify`, which touches the passes of a template, and of rechecks of refused items."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib.core.identifiers import PassId
from infra.local.phone import Phone
from infra.local.run import LocalRun
from infra.operate.templates.touch import touch, untouched
from infra.stage.stage import Stage
from tests.conftest import Issuer
from tests.stack.infra.operate.templates.template_commands import make, run
from tests.support import samples
from tests.support.command_line import COMMAND
from tests.support.eventually import Apns, eventually


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
    stack: LocalRun, folder: Path, name: str, phone: Phone, issuer: Issuer, apns: Apns
) -> None:
    assert run("push", folder, "--stage", stack.stage).exit_code == 0
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = f"{stack.pass_type_identifier}/{name}"
    table.put_item(Item={"pass_id": pass_id, "template": name, "fields": {"member": "Ada"}})
    key = (stack.pass_type_identifier, name)
    issuer.hands(PassId.parse(pass_id), phone)
    assert phone.passes[key].content["logoText"] == "Acme Gym"
    make(folder, samples.files_of("generic", logoText="Acme Club"))
    done = run("push", folder, "--stage", stack.stage, "--notify", "--yes", "--rate", 100, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["touched"] == 1
    eventually(lambda: apns.pushes_to(phone), "the push")
    phone.receives_push(stack.pass_type_identifier)
    assert phone.passes[key].content["logoText"] == "Acme Club"
    assert phone.passes[key].fields()["member"]["value"] == "Ada"
    table.delete_item(Key={"pass_id": pass_id})


def test_rollback_with_notify_updates_passes_on_phones(
    stack: LocalRun, folder: Path, name: str, phone: Phone, issuer: Issuer, apns: Apns
) -> None:
    for text in ("Acme Gym", "Acme Club"):
        make(folder, samples.files_of("generic", logoText=text))
        assert run("push", folder, "--stage", stack.stage).exit_code == 0
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = PassId(stack.pass_type_identifier, name)
    table.put_item(Item={"pass_id": str(pass_id), "template": name, "fields": {"member": "Ada"}})
    issuer.hands(pass_id, phone)
    done = run("rollback", name, "--stage", stack.stage, "--notify", "--yes", "--rate", 100, "--json")
    assert json.loads(done.stdout.splitlines()[-1])["touched"] == 1
    eventually(lambda: apns.pushes_to(phone), "the push")
    phone.receives_push(stack.pass_type_identifier)
    assert phone.passes[stack.pass_type_identifier, name].content["logoText"] == "Acme Gym"
    table.delete_item(Key={"pass_id": str(pass_id)})


def test_push_rechecks_items_that_were_refused_because_of_the_template(
    stack: LocalRun, folder: Path, name: str, phone: Phone, issuer: Issuer, apns: Apns
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

    eventually(refused, "the refusals")
    done = run("push", folder, "--stage", stack.stage, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["rechecked"] == 2
    eventually(lambda: apns.pushes_to(phone), "the push")
    phone.receives_push(stack.pass_type_identifier)
    assert phone.passes[stack.pass_type_identifier, held.serial_number].fields()["member"]["value"] == "Ada"
    eventually(
        lambda: "refused" not in versions.get_item(Key={"pass_id": str(new)})["Item"], "the stamp of the new pass"
    )
    assert json.loads(run("push", folder, "--stage", stack.stage, "--json").stdout.splitlines()[-1])["rechecked"] == 0


def test_ctrl_c_while_touching_ends_with_130_and_says_how_to_resume(
    stack: LocalRun, folder: Path, passes: list[str]
) -> None:
    command = [*COMMAND, "template", "push", str(folder), "--stage", stack.stage]
    process = subprocess.Popen(
        [*command, "--notify", "--yes", "--rate", "0.5"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])

    def is_touched(pass_id: str) -> bool:
        return "template_revision" in table.get_item(Key={"pass_id": pass_id}).get("Item", {})

    eventually(lambda: any(map(is_touched, passes)), "the first touch")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "passes in" in errors
    assert "run the same command again" in errors
