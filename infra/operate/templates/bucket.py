"""Pushes templates to a stage's bucket and pulls them; `chalicelib/aws/templates.py` defines its layout."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from botocore.exceptions import ClientError

from chalicelib.aws.templates import (
    POINTER,
    PREFIX,
    SUFFIX,
    pack,
    pointer_key,
    read_pointer,
    revision_key,
    unpack,
    write_pointer,
)
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import is_template_name
from chalicelib.passes.format.check import fields_of
from chalicelib.passes.format.images import PASS_JSON, TOOLING_JSON
from chalicelib.passes.template import DESIGNER_ID, Template, TemplateError
from infra.operate.templates.folder import DESIGNER_SUFFIX
from infra.stage import aws
from infra.stage.stage import Stage

DESIGNER_SETTINGS = {"automaticallyGenerateCompatiblePass": False, "designerVersion": "1.0"}
"""Content of tooling.json as Pass Designer 1.0 writes it."""


def for_designer(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a template's files as Pass Designer stores them: with its settings, and an `_id` where it expects one.

    Raises:
        ValueError: pass.json is not JSON.
    """
    content = json.loads(files[PASS_JSON].decode("utf-8-sig"))
    for _, _, _, field in fields_of(content):
        field.setdefault(DESIGNER_ID, str(uuid.uuid4()).upper())
    semantics = content.get("semantics")
    seats = semantics.get("seats") if isinstance(semantics, dict) else None
    for members in (seats, content.get("featuredActions")):
        for member in members if isinstance(members, list) else ():
            if isinstance(member, dict):
                member.setdefault(DESIGNER_ID, str(uuid.uuid4()).upper())
    written = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode()
    return {**files, PASS_JSON: written, TOOLING_JSON: json.dumps(DESIGNER_SETTINGS, indent=2).encode()}


class PullError(RefusedError):
    """A template cannot be pulled: it was never pushed, or the target exists."""


@dataclass(frozen=True, slots=True)
class PushedTemplate:
    """The current revision of one template."""

    name: str
    revision: str
    pushed_at: datetime


@dataclass(frozen=True, slots=True)
class PushedRevision:
    """Result of a push.

    Args:
        revision: the revision that is current now.
        before: the revision that was current before; None if there was none.
    """

    revision: str
    before: str | None

    @property
    def unchanged(self) -> bool:
        return self.revision == self.before


class TemplatesBucket:
    """A stage's bucket of templates.

    Args:
        name: name of the bucket.
    """

    def __init__(self, stage: Stage) -> None:
        self._name = stage.templates_bucket
        self._client = aws.client("s3")

    def push(self, name: str, files: Mapping[str, bytes], *, on_progress: Callable[[int], object]) -> PushedRevision:
        """Make files the current revision of a template.

        The object of the revision is written first and the pointer second, so that an interruption between the two
        changes nothing for passes.

        Args:
            name: name of the template.
            files: contents by path.
            on_progress: called with the number of bytes of each step of the upload.

        Raises:
            TemplateError: the files are not a valid template.
        """
        revision = Template.parse(name, files).revision
        before = self._current(name)
        if before != revision:
            key = revision_key(name, revision)
            self._client.upload_fileobj(BytesIO(pack(files)), self._name, key, Callback=on_progress)
            self._client.put_object(
                Bucket=self._name,
                Key=pointer_key(name),
                Body=write_pointer(revision),
                ContentType="application/json",
            )
        return PushedRevision(revision, before)

    def current(self, name: str) -> Template | None:
        """Return the current template; None if it was never pushed."""
        revision = self._current(name)
        return Template.parse(name, self._files(name, revision)) if revision is not None else None

    def pull(self, name: str, into: Path, *, suffix: str = SUFFIX) -> Path:
        """Write the current revision to a new folder `NAME.pass`, completely or not at all.

        Args:
            name: name of the template.
            into: parent of the new folder.
            suffix: `.pass`, or `.pkpasstemplate` for a folder that Pass Designer opens.

        Returns:
            The new folder.

        Raises:
            PullError: the template was never pushed, or the folder exists already.
        """
        revision = self._current(name) if is_template_name(name) else None
        if revision is None:
            raise PullError(f"template {name} was never pushed; `template list` shows the pushed ones")
        target = into / f"{name}{suffix}"
        if target.exists():
            raise PullError(f"{target}: already exists; move it away, or pull into another folder with --into")
        files = self._files(name, revision)
        if Template.parse(name, files).revision != revision:
            raise TemplateError(name, revision, "differs from what was pushed; push the template again")
        if suffix == DESIGNER_SUFFIX:
            files = for_designer(files)
        with TemporaryDirectory(dir=into, prefix=".pull-") as work:
            folder = Path(work) / "template"
            for path, data in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            folder.rename(target)
        return target

    def list(self) -> list[PushedTemplate]:
        """Return the current revision of each template, sorted by name."""
        pushed = []
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=PREFIX):
            for entry in page.get("Contents", []):
                name, _, rest = entry["Key"].removeprefix(PREFIX).partition("/")
                if rest == POINTER and (revision := self._current(name)) is not None:
                    pushed.append(PushedTemplate(name, revision, entry["LastModified"]))
        return sorted(pushed, key=lambda template: template.name)

    def packed(self, name: str, revision: str) -> bytes:
        """Return the zip of a revision."""
        body: bytes = self._client.get_object(Bucket=self._name, Key=revision_key(name, revision))["Body"].read()
        return body

    def _files(self, name: str, revision: str) -> dict[str, bytes]:
        return unpack(name, self.packed(name, revision))

    def _current(self, name: str) -> str | None:
        """Return the current revision; None if the pointer is missing or invalid, so that a push repairs it."""
        try:
            body = self._client.get_object(Bucket=self._name, Key=pointer_key(name))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        try:
            return read_pointer(name, body)
        except TemplateError:
            return None
