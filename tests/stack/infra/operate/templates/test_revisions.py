"""Tests of `template rollback` and `delete`, which change what is stored of older pushes."""

import json
from pathlib import Path

import boto3

from infra.local.run import LocalRun
from infra.stage.stage import Stage
from tests.stack.infra.operate.templates.template_commands import make, revision_in, run
from tests.support import samples


def revisions_of(stack: LocalRun, name: str) -> tuple[str, list[str]]:
    rows = {row["template"]: row for row in json.loads(run("list", "--stage", stack.stage, "--json").stdout)}
    return rows[name]["revision"], [each["revision"] for each in rows[name]["revisions"]]


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
