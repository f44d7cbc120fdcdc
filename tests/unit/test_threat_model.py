"""The threat model names a test for each attack, and these tests exist."""

import ast
import re

import pytest

from infra.local.processes import PROJECT

PAGE = (PROJECT / "docs/explanation/security.md").read_text()
SECTION = PAGE.partition("## Threat model")[2].partition("\n## ")[0]
TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+::\w+)`", SECTION)))


def test_every_attack_has_a_test() -> None:
    table = SECTION.partition("| attack |")[2].splitlines()[2:]
    attacks = [line for line in table if line.startswith("|")]
    assert len(attacks) > 10
    assert [line for line in attacks if "::test_" not in line] == []


@pytest.mark.parametrize("name", TESTS)
def test_named_test_exists(name: str) -> None:
    path, _, function = name.partition("::")
    tree = ast.parse((PROJECT / path).read_text())
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
