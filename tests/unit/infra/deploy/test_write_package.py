"""The packaged script refuses what `deploy` refuses or asks a person about."""

import itertools
from typing import Any

import jmespath  # type: ignore[import-untyped]  # it has no types
import pytest

from infra.deploy.changes import ADDRESS_TYPES, PERMANENT_TYPES, ResourceChange
from infra.deploy.write_package import LOST

KINDS = (*PERMANENT_TYPES, *ADDRESS_TYPES, "AWS::SQS::Queue")
WAYS = [
    ("Add", None),
    ("Import", None),
    ("Remove", None),
    *itertools.product(["Modify"], ["True", "False", "Conditional"]),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("action", "replacement"), WAYS)
def test_script_refuses_the_changes_that_deploy_refuses_or_asks_about(
    kind: str, action: str, replacement: str | None
) -> None:
    raw: dict[str, Any] = {"Action": action, "LogicalResourceId": "It", "ResourceType": kind}
    if replacement is not None:
        raw["Replacement"] = replacement
    change = ResourceChange(action, "It", kind, replacement or "False", ())
    found = jmespath.search(LOST, {"Changes": [{"ResourceChange": raw}]})
    assert found == (["It"] if change.loses_data or change.loses_address else [])


def test_change_set_that_changes_only_outputs_is_not_refused() -> None:
    assert jmespath.search(LOST, {"Changes": []}) == []
