"""What is being deployed: the commit of the checkout, and whether it is all of it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.package import PROJECT

UNKNOWN = "unknown"
NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Checkout:
    """A state of the code.

    Args:
        commit: its short name; `unknown` outside of git.
        uncommitted: files that differ from it.
    """

    commit: str
    uncommitted: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a deployment notes down: the commit, and that it was not only that."""
        return f"{self.commit}-dirty" if self.uncommitted else self.commit

    @property
    def warning(self) -> str:
        """What a person should know before deploying it; empty where there is nothing."""
        if not self.uncommitted:
            return ""
        others = len(self.uncommitted) - NAMED_AT_MOST
        named = ", ".join(self.uncommitted[:NAMED_AT_MOST]) + (f" and {others} more" if others > 0 else "")
        return f"the checkout has uncommitted changes ({named}): nobody can deploy this state again"


def read_checkout(project: Path = PROJECT) -> Checkout:
    """The checkout's state, by git; one without git is unknown and clean."""
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
