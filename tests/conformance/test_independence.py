"""The conformance tests import nothing of the implementation."""

import ast
from pathlib import Path


def test_conformance_tests_import_nothing_of_the_service() -> None:
    for file in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.partition(".")[0] in ("chalicelib", "infra", "app")], file
