"""Tests of the grants of `diff`, `deploy` and `doctor`."""

import pytest

from infra.deploy.permissions.commands import DEPLOY, DIFF, DOCTOR, deployer_grants
from infra.deploy.permissions.grants import Grant

CHANGING = ("Attach", "Create", "Delete", "Execute", "Patch", "Put", "Tag", "Update")


def actions(grants: tuple[Grant, ...] | list[Grant]) -> set[str]:
    return {action for grant in grants for action in grant.actions}


@pytest.mark.parametrize(
    "grants", [DIFF, DEPLOY, DOCTOR, tuple(deployer_grants())], ids=["diff", "deploy", "doctor", "all"]
)
def test_grant_of_more_than_the_stage_gives_a_reason(grants: tuple[Grant, ...]) -> None:
    for grant in grants:
        names_stage = all("${Stage}" in resource for resource in grant.resources)
        assert names_stage or grant.reason or grant.condition, grant
        assert not any("*" in action for action in grant.actions), grant


def test_doctor_changes_nothing() -> None:
    assert not {action for action in actions(DOCTOR) if action.partition(":")[2].startswith(CHANGING)}


def test_diff_cannot_execute_a_change_set() -> None:
    assert "cloudformation:ExecuteChangeSet" not in actions(DIFF)
    assert actions(DIFF) < actions(DEPLOY) <= actions(deployer_grants())
