"""Reads the state of the checkout that is deployed: its commit and its uncommitted changes."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.package import PROJECT

UNKNOWN = "unknown"
NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Checkout:
    """The state of a checkout.

    Args:
        commit: the abbreviated hash; `unknown` outside of git.
        uncommitted: the files that differ from the commit.
    """

    commit: str
    uncommitted: tuple[str, ...]

    @property
    def name(self) -> str:
        """The commit as a deployment records it, with `-dirty` for uncommitted changes."""
        return f"{self.commit}-dirty" if self.uncommitted else self.commit

    @property
    def warning(self) -> str:
        """A warning about uncommitted changes; empty without any."""
        if not self.uncommitted:
            return ""
        others = len(self.uncommitted) - NAMED_AT_MOST
        named = ", ".join(self.uncommitted[:NAMED_AT_MOST]) + (f" and {others} more" if others > 0 else "")
        return f"the checkout has uncommitted changes ({named}): this state cannot be deployed again later"


def read_checkout(project: Path = PROJECT) -> Checkout:
    """Return the state of a checkout; without git, its commit is unknown and it has no changes."""
    commit = _git(project, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return Checkout(UNKNOWN, ())
    status = _git(project, "status", "--porcelain", "--", ".") or ""
    return Checkout(commit.strip(), tuple(line[3:] for line in status.splitlines()))


def _git(project: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
