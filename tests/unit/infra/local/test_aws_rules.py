"""The table of AWS's rules names existing tests."""

import ast

import pytest

from infra.local.aws_rules import RULES, Rule
from infra.local.processes import PROJECT


def test_every_rule_is_listed_once() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert {f"A{number}" for number in range(1, 21)} <= set(names)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_is_enforced_by_tests_that_exist_or_says_why_not(rule: Rule) -> None:
    assert rule.enforced_by or rule.left_out
    for name in rule.enforced_by:
        file, _, function = name.partition("::")
        defined = {
            node.name for node in ast.parse((PROJECT / file).read_text()).body if isinstance(node, ast.FunctionDef)
        }
        assert function in defined, name
