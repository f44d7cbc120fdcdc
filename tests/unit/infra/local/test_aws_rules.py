"""The table of AWS's rules names existing tests."""

import ast

from infra.local.aws_rules import RULES
from infra.local.processes import PROJECT


def test_every_rule_is_listed_once() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert {f"A{number}" for number in range(1, 21)} <= set(names)


def test_every_rule_is_enforced_by_tests_that_exist_or_says_why_not() -> None:
    assert [rule.name for rule in RULES if not rule.enforced_by and not rule.left_out] == []
    named = {name for rule in RULES for name in rule.enforced_by}
    files = {name.partition("::")[0] for name in named}
    bodies = {file: ast.parse((PROJECT / file).read_text()).body for file in files}
    functions = [(file, node) for file in files for node in bodies[file] if isinstance(node, ast.FunctionDef)]
    assert named - {f"{file}::{function.name}" for file, function in functions} == set()
