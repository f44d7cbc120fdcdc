"""The format of a backup file: gzipped JSON lines, with a header first and a checksum last.

{"passwire_backup": 1, "stage": "dev", "begun_at": "2026-11-25T16:00:00+00:00"}
{"kind": "versions", "item": {"pass_id": {"S": "..."}, ...}}        an item in DynamoDB's own JSON
{"kind": "templates", "item": {"name": "...", "revision": "...", "zip": "<base64>"}}
{"kind": "images", "item": {"key": "...", "png": "<base64>"}}
{"counts": {"versions": 1, ...}, "sha256": "<of all bytes before this line>"}
"""

import base64
import gzip
import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.core.private_files import open_private
from infra.operate.backup.errors import BackupError

VERSION = 1
DAMAGES = (gzip.BadGzipFile, zlib.error, EOFError, ValueError, KeyError, AttributeError, TypeError, RecursionError)
"""Errors of reading a file that is damaged, or not a backup."""
KINDS = ("versions", "templates", "images", "passes", "devices", "registrations")
"""In the order in which they are restored."""
MAX_LINE_BYTES = 100_000_000
"""Limit for one item; a template has at most 64 MB (`chalicelib/aws/templates.py`), a third more as base64."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Summary of a complete backup file.

    Args:
        stage: name of the stage that was backed up.
        begun_at: when the backup began, in ISO 8601.
        counts: number of items by kind.
    """

    stage: str
    begun_at: str
    counts: Mapping[str, int]


def write(path: Path, *, stage: str, begun_at: str, items: Iterable[tuple[str, Mapping[str, Any]]]) -> Contents:
    """Write a complete file, or leave none behind. Only its owner can read it.

    Args:
        path: path of the new file.
        stage: name of the stage.
        begun_at: when the backup began, in ISO 8601.
        items: pairs of a kind (one of `KINDS`) and an item.

    Raises:
        BackupError: the file exists already.
    """
    if path.exists():
        raise BackupError(f"{path}: already exists; choose another file, or move this one away")
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    digest = hashlib.sha256()
    try:
        with open_private(part, "xb") as raw:  # contains push tokens and device library identifiers
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6) as compressed:

                def write_line(content: Mapping[str, Any]) -> None:
                    line = json.dumps(content, default=_encode_bytes, separators=(",", ":")).encode() + b"\n"
                    digest.update(line)
                    compressed.write(line)

                write_line({"passwire_backup": VERSION, "stage": stage, "begun_at": begun_at})
                for kind, item in items:
                    write_line({"kind": kind, "item": item})
                    counts[kind] += 1
                write_line({"counts": counts, "sha256": digest.hexdigest()})
            raw.flush()
            os.fsync(raw.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return Contents(stage, begun_at, dict(counts))


def verify(path: Path) -> Contents:
    """Read a whole file and check that it is complete and unchanged.

    Raises:
        BackupError: the file is damaged, incomplete, changed, or not a backup; the message says which.
    """
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    digest = hashlib.sha256()
    header: dict[str, Any] = {}
    trailer: dict[str, Any] = {}
    try:
        with gzip.open(path, "rb") as lines:
            for line in iter(lambda: lines.readline(MAX_LINE_BYTES + 1), b""):
                if len(line) > MAX_LINE_BYTES:
                    raise BackupError(f"{path}: has a line of over {MAX_LINE_BYTES:,} bytes; not a backup")
                if trailer:
                    raise BackupError(f"{path}: has data after its last line; it was not written by this command")
                content = json.loads(line)
                if not header:
                    header = content
                    if content.get("passwire_backup") != VERSION:
                        raise BackupError(f"{path}: not a backup that this version can read; see CHANGELOG.md")
                elif "sha256" in content:
                    trailer = content
                    if content["sha256"] != digest.hexdigest() or {
                        **dict.fromkeys(KINDS, 0),  # an older version knew fewer kinds
                        **content["counts"],
                    } != dict(counts):
                        raise BackupError(f"{path}: was changed after it was written; use another backup")
                else:
                    counts[content["kind"]] += 1
                digest.update(line)
        found = Contents(str(header["stage"]), str(header["begun_at"]), dict(counts)) if trailer else None
    except DAMAGES as error:
        raise BackupError(f"{path}: damaged, or not a backup ({error}); nothing was written") from None
    if found is None:
        raise BackupError(
            f"{path}: ends too early; the backup was interrupted or only partly copied; nothing was written"
        )
    return found


def read(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Yield the items of one kind from a verified file."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            content = json.loads(line, object_hook=_decode_bytes)
            if content.get("kind") == kind:
                yield content["item"]


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(type(value).__name__)


def _decode_bytes(content: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return (
        base64.b64decode(content["$bytes"])
        if content.keys() == {"$bytes"} and isinstance(content["$bytes"], str)
        else content
    )
