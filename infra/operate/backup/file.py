"""The file of a backup: gzip over lines of JSON, a header first, and last what proves that it is whole.

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
KINDS = ("versions", "templates", "images", "passes", "devices", "registrations")
"""In the order in which they are restored."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a whole file says of itself.

    Args:
        stage: of which it was made.
        begun_at: when, as ISO 8601.
        counts: of items, by kind.
    """

    stage: str
    begun_at: str
    counts: Mapping[str, int]


def write(path: Path, *, stage: str, begun_at: str, items: Iterable[tuple[str, Mapping[str, Any]]]) -> Contents:
    """Write the whole file or none, readable by nobody else.

    Args:
        path: where nothing is yet.
        items: with their kinds.

    Raises:
        BackupError: something is there already.
    """
    if path.exists():
        raise BackupError(f"{path}: is there already; name another file, or move it away")
    half = path.with_name(f"{path.name}.part")
    half.unlink(missing_ok=True)
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    digest = hashlib.sha256()
    try:
        with open_private(half, "xb") as raw:  # it holds push tokens and device library identifiers
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6) as packed:

                def put(line: Mapping[str, Any]) -> None:
                    encoded = json.dumps(line, default=_binary, separators=(",", ":")).encode() + b"\n"
                    digest.update(encoded)
                    packed.write(encoded)

                put({"passwire_backup": VERSION, "stage": stage, "begun_at": begun_at})
                for kind, item in items:
                    put({"kind": kind, "item": item})
                    counts[kind] += 1
                put({"counts": counts, "sha256": digest.hexdigest()})
            raw.flush()
            os.fsync(raw.fileno())
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)
    return Contents(stage, begun_at, dict(counts))


def verify(path: Path) -> Contents:
    """Read all of it.

    Raises:
        BackupError: it is no backup, or not all of one; the message says which.
    """
    counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    digest = hashlib.sha256()
    header: dict[str, Any] = {}
    trailer: dict[str, Any] = {}
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                if trailer:
                    raise BackupError(f"{path}: goes on behind its end; it was not written by this command")
                content = json.loads(line)
                if not header:
                    header = content
                    if content.get("passwire_backup") != VERSION:
                        raise BackupError(f"{path}: is no backup that this version can read; see CHANGELOG.md")
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
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise BackupError(f"{path}: is damaged or no backup ({error}); nothing was written") from None
    if not trailer:
        raise BackupError(
            f"{path}: ends too early; the backup was interrupted or only partly copied; nothing was written"
        )
    return Contents(str(header["stage"]), str(header["begun_at"]), dict(counts))


def read(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The items of one kind of a verified file."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            content = json.loads(line, object_hook=_unbinary)
            if content.get("kind") == kind:
                yield content["item"]


def _binary(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(type(value).__name__)


def _unbinary(content: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return (
        base64.b64decode(content["$bytes"])
        if content.keys() == {"$bytes"} and isinstance(content["$bytes"], str)
        else content
    )
