"""Reads a designer's folder on this machine, without following links out of it.

`NAME.pass` is a folder in Apple's layout. `NAME.pkpasstemplate` is what Pass Designer saves: the same layout with its
own settings, as a folder, or as a zip when it was sent to another person.
"""

import io
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from chalicelib.aws.templates import SUFFIX
from chalicelib.core.errors import excerpt
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, is_template_name
from chalicelib.passes.format.images import is_pass_file
from chalicelib.passes.template import MADE_FOR_EACH_PASS
from infra.core.errors import InvalidValueError
from infra.core.files import STANDARD, STANDARD_INPUT
from infra.operate.templates.findings import TemplateFinding, error, warning

MAX_TEMPLATE_BYTES = 4_000_000
"""A function's response has at most 6 MB (AWS, "Lambda quotas"), and base64 makes a binary one a third larger."""
MAX_MEMBERS = 10_000
_MAC_METADATA = "__MACOSX/"
"""Folder that macOS adds to its zips."""
DESIGNER_SUFFIX = ".pkpasstemplate"
_ZIP = ".zip"
_ZIPPED = (DESIGNER_SUFFIX, f"{DESIGNER_SUFFIX}{_ZIP}", f"{SUFFIX}{_ZIP}")


class FolderError(InvalidValueError):
    """A path is not a template folder."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of a folder or zip.

    Args:
        path: path within the folder or zip, with `/`.
        size: uncompressed size in bytes.
        problem: why the file is not read; empty if it is.
        source: path on this disk, or entry of the zip.
    """

    path: str
    size: int
    problem: str
    source: Path | zipfile.ZipInfo


def template_name(folder: Path) -> str:
    """Return the name of a template: `NAME` of `NAME.pass` or `NAME.pkpasstemplate`, as a folder or zip.

    Raises:
        FolderError: the path is not such a folder or zip.
    """
    resolved = folder.resolve()
    suffixes = (SUFFIX, DESIGNER_SUFFIX) if resolved.is_dir() else _ZIPPED if resolved.is_file() else ()
    suffix = next((suffix for suffix in reversed(suffixes) if resolved.name.endswith(suffix)), None)
    if suffix is None or resolved.name.startswith("."):
        raise FolderError(
            f"{folder}: not a template; give a folder NAME{SUFFIX} that contains pass.json, or Pass Designer's "
            f"NAME{DESIGNER_SUFFIX} as a folder or zip"
        )
    name = resolved.name.removesuffix(suffix)
    if not is_template_name(name):
        raise FolderError(
            f"{folder}: '{excerpt(name)}' is not a valid template name: rename it to {TEMPLATE_NAME_RULE}"
        )
    return name


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a new folder, completely or not at all.

    Args:
        target: the folder, which does not exist; its parent does.
        files: contents by path.
    """
    with TemporaryDirectory(dir=target.parent, prefix=".template-") as work:
        folder = Path(work) / "template"
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        folder.rename(target)


def zipped_folder(name: str, files: Mapping[str, bytes]) -> bytes:
    """Return a zip of one folder, as `opened_template` takes it.

    Args:
        name: name of the folder, such as `boarding.pass`.
        files: contents by path.
    """
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(f"{name}/{path}", content)
    return data.getvalue()


@contextmanager
def opened_template(folder: Path) -> Iterator[Path]:
    """Yield the path of a template: the given one, or for `-` a temporary file with the zip of standard input.

    Raises:
        FolderError: standard input is not a zip of one folder.
    """
    if str(folder) != STANDARD:
        yield folder
        return
    data = sys.stdin.buffer.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist() if not name.startswith(_MAC_METADATA)}
    except (zipfile.BadZipFile, UnicodeDecodeError):
        tops = set()
    name = tops.pop() if len(tops) == 1 else ""
    if not name.endswith((SUFFIX, DESIGNER_SUFFIX)) or "\\" in name or not name.isprintable():
        raise FolderError(
            f"{STANDARD_INPUT}: not a zip of one folder NAME{SUFFIX}; make one with: zip -r - NAME{SUFFIX}"
        )
    with TemporaryDirectory() as work:
        path = Path(work) / f"{name}{_ZIP}"
        path.write_bytes(data)
        yield path


def read_checked(folder: Path) -> tuple[dict[str, bytes], list[TemplateFinding]]:
    """Read the files of a template.

    Args:
        folder: a folder, or a zip of one.

    Returns:
        Contents by path, and findings about files that were not read. Files that do not belong in a pass have no
        content, so that the check can report them; hidden files are left out.

    Raises:
        FolderError: the zip cannot be read.
    """
    if not folder.is_file():
        return _read((_member(folder, path) for path in sorted(folder.rglob("*"))), None)
    try:
        with zipfile.ZipFile(folder) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise FolderError(
                    f"{folder}: has {len(members):,} members, more than {MAX_MEMBERS:,}; give a zip of one template"
                )
            return _read(_zipped(members), archive)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as problem:
        raise FolderError(f"{folder}: cannot be read as a zip: {problem}") from None


def _read(
    members: Iterator[_Member | None], archive: zipfile.ZipFile | None
) -> tuple[dict[str, bytes], list[TemplateFinding]]:
    files: dict[str, bytes] = {}
    findings: list[TemplateFinding] = []
    hidden: set[str] = set()
    total = 0
    for member in members:
        if member is None:
            continue
        if member.problem:
            findings.append(error(member.path, "", member.problem))
        elif top := next((part for part in member.path.split("/") if part.startswith((".", "__MACOSX"))), None):
            hidden.add(top)
        elif not is_pass_file(member.path) or member.path in MADE_FOR_EACH_PASS:
            files[member.path] = b""
        elif member.size > MAX_TEMPLATE_BYTES or total > MAX_TEMPLATE_BYTES:
            findings.append(
                error(
                    member.path,
                    "",
                    f"has {member.size:,} bytes; a whole pass may have {MAX_TEMPLATE_BYTES:,}, use a smaller file",
                )
            )
        else:
            files[member.path] = _content(member, archive)
            total += len(files[member.path])
    findings += [warning(name, "", "is hidden and is left out of passes") for name in sorted(hidden)]
    if total > MAX_TEMPLATE_BYTES:
        findings.append(
            error("", "", f"the folder has {total:,} bytes; a pass may have {MAX_TEMPLATE_BYTES:,}, shrink its images")
        )
    return files, findings


def _content(member: _Member, archive: zipfile.ZipFile | None) -> bytes:
    if isinstance(member.source, Path):
        return member.source.read_bytes()
    assert archive is not None  # noqa: S101 - a ZipInfo comes from one
    with archive.open(member.source) as file:
        return file.read(MAX_TEMPLATE_BYTES + 1)  # a zip may declare a size that is too small


def _member(folder: Path, path: Path) -> _Member | None:
    """Return a file below a folder; None for a subfolder."""
    name, status = path.relative_to(folder).as_posix(), path.lstat()
    problem = ""
    if stat.S_ISLNK(status.st_mode):
        problem = "is a symbolic link; put the file itself there"
    elif stat.S_ISDIR(status.st_mode):
        return None
    elif not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file; remove it"
    return _Member(name, status.st_size, "" if name.startswith(".") else problem, path)


def _zipped(members: list[zipfile.ZipInfo]) -> Iterator[_Member | None]:
    """Yield the files of a zip, with paths relative to the one folder that contains them all, if there is one."""
    files = [member for member in members if not member.filename.endswith("/")]  # is_dir() fails for an empty name
    tops = {member.filename.partition("/")[0] for member in files if not member.filename.startswith(_MAC_METADATA)}
    top = tops.pop() + "/" if len(tops) == 1 else ""
    prefix = top if top.endswith((f"{DESIGNER_SUFFIX}/", f"{SUFFIX}/")) else ""
    seen: set[str] = set()
    for member in files:
        name = member.filename.removeprefix(prefix)
        problem = ""
        if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
            problem = "is a path outside the folder; the zip may be malicious, do not use it"
        elif stat.S_ISLNK(member.external_attr >> 16):
            problem = "is a symbolic link; put the file itself there"
        elif name in seen:
            problem = "is in the zip twice; create the zip again"
        seen.add(name)
        yield _Member(name, member.file_size, problem, member)
