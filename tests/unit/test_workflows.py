"""Workflows of this repository name actions by commit, as those that `ci github` writes do."""

import re
from pathlib import Path

from infra.deploy.github import ACTIONS

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"


def test_actions_are_named_by_commit_and_agree_with_the_written_workflows() -> None:
    """A tag can be moved to other code (GitHub, "Secure use reference")."""
    used = [
        re.fullmatch(r"\s*- uses: (\S+)@([0-9a-f]{40}) # (v[\d.]+)", line)
        for path in WORKFLOWS.glob("*.yml")
        for line in path.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    for match in used:
        assert match
        action, commit, version = match.groups()
        assert ACTIONS.get(action, (commit, version)) == (commit, version)
