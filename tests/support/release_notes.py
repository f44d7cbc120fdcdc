"""Prints the release notes of a version: its section of CHANGELOG.md. `python -m tests.support.release_notes 0.1.0`."""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def release_notes(changelog: str, version: str) -> str:
    """The text below the heading of a version, up to the next version's heading.

    Raises:
        LookupError: the changelog has no section of this version.
    """
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        if heading.startswith(f"[{version}]"):
            return text.strip()
    raise LookupError(f"CHANGELOG.md has no section '## [{version}]'; write it, then tag again")


def main(version: str) -> str | None:
    """Print the notes. Returns None, or a sentence for standard error if the version has no notes."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    if project["version"] != version:
        return f"the tag is of version {version}, but pyproject.toml says {project['version']}; tag the right commit"
    try:
        sys.stdout.write(release_notes((PROJECT / "CHANGELOG.md").read_text(), version) + "\n")
    except LookupError as error:
        return str(error.args[0])
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
