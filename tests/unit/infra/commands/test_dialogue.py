"""Tests of the dialogue of a deployment."""

import pytest

from infra.commands.dialogue import Terminal
from infra.deploy.changes import ResourceChange, ResourceEvent
from infra.deploy.errors import DeployError

CHANGE = ResourceChange("Add", "Push", "AWS::Lambda::Function", "False", ())
FAILED = ResourceEvent("Push", "AWS::Lambda::Function", "CREATE_FAILED", "no such runtime")


def test_changes_are_shown_before_they_are_agreed_to(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(stage="dev", yes=True) as dialogue:
        assert dialogue.review([CHANGE, CHANGE])
        assert dialogue.allows("continue?")
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = [line.strip() for line in shown.err.splitlines()]
    assert lines == [
        *([str(CHANGE)] * 2),
        "make these 2 changes to stage dev? yes, by --yes",
        "continue? yes, by --yes",
    ]


def test_yes_does_not_agree_to_what_only_a_person_may() -> None:
    with Terminal(stage="dev", yes=True) as dialogue, pytest.raises(DeployError, match="--yes does not confirm this"):
        dialogue.confirms("phones get no updates; continue?")


def test_failure_of_a_resource_is_printed_and_its_cancellations_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    cancelled = ResourceEvent("Api", "AWS::Lambda::Function", "CREATE_FAILED", "Resource creation cancelled")
    with Terminal(stage="dev", yes=True) as dialogue:
        dialogue.review([CHANGE])
        capsys.readouterr()
        for event in (FAILED, cancelled):
            dialogue.event(event)
    shown = capsys.readouterr().err
    assert "CREATE_FAILED Push (AWS::Lambda::Function): no such runtime" in shown
    assert "cancelled" not in shown
