"""A designer's folder on this machine, read without following it anywhere else."""

import stat
from pathlib import Path

from chalicelib.aws.templates import SUFFIX
from chalicelib.core.errors import RefusedError, shown
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, is_template_name
from infra.operate.templates.findings import Finding, error

MAX_TEMPLATE_BYTES = 4_000_000
"""A function's answer is 6 MB at most (AWS, "Lambda quotas"), and a binary one grows by a third on its way."""


class FolderError(RefusedError):
    """What was named is no template folder."""


def template_name(folder: Path) -> str:
    """Of `NAME.pass`.

    Raises:
        FolderError: it is no such folder.
    """
    resolved = folder.resolve()
    if not resolved.is_dir() or not resolved.name.endswith(SUFFIX) or resolved.name.startswith("."):
        raise FolderError(f"{folder}: is no template; that is a folder NAME{SUFFIX} with a pass.json in it")
    name = resolved.name.removesuffix(SUFFIX)
    if not is_template_name(name):
        raise FolderError(f"{folder}: '{shown(name)}' is not a valid template name: rename it to {TEMPLATE_NAME_RULE}")
    return name


def read_checked(folder: Path) -> tuple[dict[str, bytes], list[Finding]]:
    """The folder's files by path, hidden ones left out, and what kept others from being read."""
    files: dict[str, bytes] = {}
    findings: list[Finding] = []
    total = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts):
            continue
        name, status = relative.as_posix(), path.lstat()
        if stat.S_ISLNK(status.st_mode):
            findings.append(error(name, "", "is a symbolic link; put the file itself there"))
        elif stat.S_ISDIR(status.st_mode):
            continue
        elif not stat.S_ISREG(status.st_mode):
            findings.append(error(name, "", "is no file; take it out"))
        elif status.st_size > MAX_TEMPLATE_BYTES:
            findings.append(
                error(name, "", f"has {status.st_size:,} bytes; a whole pass may have {MAX_TEMPLATE_BYTES:,}")
            )
        else:
            files[name] = path.read_bytes()
            total += len(files[name])
    if total > MAX_TEMPLATE_BYTES:
        findings.append(
            error("", "", f"the folder has {total:,} bytes; a pass may have {MAX_TEMPLATE_BYTES:,}, shrink its images")
        )
    return files, findings
