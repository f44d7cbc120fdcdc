"""The threat model names a test for each attack, and these tests exist."""

import ast
import re

from infra.local.processes import PROJECT

PAGE = (PROJECT / "docs/explanation/security.md").read_text()
SECTION = PAGE.partition("## Threat model")[2].partition("\n## ")[0]
TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+::\w+)`", SECTION)))


def test_every_attack_has_a_test() -> None:
    table = SECTION.partition("| attack |")[2].splitlines()[2:]
    attacks = [line for line in table if line.startswith("|")]
    assert len(attacks) > 10
    assert [line for line in attacks if "::test_" not in line] == []


def test_every_named_test_exists() -> None:
    files = {name.partition("::")[0] for name in TESTS}
    trees = {file: ast.parse((PROJECT / file).read_text()) for file in files}
    functions = [(file, node) for file in files for node in ast.walk(trees[file]) if isinstance(node, ast.FunctionDef)]
    assert set(TESTS) - {f"{file}::{function.name}" for file, function in functions} == set()
