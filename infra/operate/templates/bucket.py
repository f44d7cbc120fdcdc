"""The bucket of templates, as those who push to it see it; how its objects are laid out says `template_store`."""

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
"""What Pass Designer 1.0 writes into tooling.json."""


def for_designer(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A template's files as Pass Designer keeps them: with its settings, and an `_id` for what it identifies by one.

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
    """A template that cannot be pulled: it was never pushed, or something is in its way."""


@dataclass(frozen=True, slots=True)
class PushedTemplate:
    """What is current of one template."""

    name: str
    revision: str
    pushed_at: datetime


@dataclass(frozen=True, slots=True)
class PushedRevision:
    """How a push ended.

    Args:
        revision: what is current now.
        before: what was; None where nothing had been pushed.
    """

    revision: str
    before: str | None

    @property
    def unchanged(self) -> bool:
        return self.revision == self.before


class TemplatesBucket:
    """One stage's bucket."""

    def __init__(self, stage: Stage) -> None:
        self._name = stage.templates_bucket
        self._client = aws.client("s3")

    def push(self, name: str, files: Mapping[str, bytes], *, uploaded: Callable[[int], object]) -> PushedRevision:
        """Make these files what is current of a template: its revision's object first, then the pointer.

        Interrupted between the two, it has changed nothing that anybody sees.

        Args:
            name: of the template.
            files: by path.
            uploaded: takes the count of bytes of each step.

        Raises:
            TemplateError: they cannot be a template.
        """
        revision = Template.parse(name, files).revision
        before = self._current(name)
        if before != revision:
            key = revision_key(name, revision)
            self._client.upload_fileobj(BytesIO(pack(files)), self._name, key, Callback=uploaded)
            self._client.put_object(
                Bucket=self._name,
                Key=pointer_key(name),
                Body=write_pointer(revision),
                ContentType="application/json",
            )
        return PushedRevision(revision, before)

    def current(self, name: str) -> Template | None:
        """The template as it is now; None where it was never pushed."""
        revision = self._current(name)
        return Template.parse(name, self._files(name, revision)) if revision is not None else None

    def pull(self, name: str, into: Path, *, suffix: str = SUFFIX) -> Path:
        """Write what is current into a folder `NAME.pass` of `into`: all of it, or nothing.

        Args:
            name: of the template.
            into: the folder that the template's folder is made in.
            suffix: `.pass`, or `.pkpasstemplate` for a folder that Pass Designer opens.

        Raises:
            PullError: it was never pushed, or the folder is there already.
        """
        revision = self._current(name) if is_template_name(name) else None
        if revision is None:
            raise PullError(f"template {name} was never pushed; see what was with `template list`")
        target = into / f"{name}{suffix}"
        if target.exists():
            raise PullError(f"{target}: is there already; move it away, or pull into another folder with --into")
        files = self._files(name, revision)
        if Template.parse(name, files).revision != revision:
            raise TemplateError(name, revision, "is not what was pushed under that name; push the template again")
        if suffix == DESIGNER_SUFFIX:
            files = for_designer(files)
        with TemporaryDirectory(dir=into, prefix=".pull-") as half:
            folder = Path(half) / "template"
            for path, data in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            folder.rename(target)
        return target

    def list(self) -> list[PushedTemplate]:
        """What is current of each template, by name."""
        pushed = []
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=PREFIX):
            for entry in page.get("Contents", []):
                name, _, rest = entry["Key"].removeprefix(PREFIX).partition("/")
                if rest == POINTER and (revision := self._current(name)) is not None:
                    pushed.append(PushedTemplate(name, revision, entry["LastModified"]))
        return sorted(pushed, key=lambda template: template.name)

    def packed(self, name: str, revision: str) -> bytes:
        """A revision's object."""
        body: bytes = self._client.get_object(Bucket=self._name, Key=revision_key(name, revision))["Body"].read()
        return body

    def _files(self, name: str, revision: str) -> dict[str, bytes]:
        return unpack(name, self.packed(name, revision))

    def _current(self, name: str) -> str | None:
        """None too where the pointer is broken, so that a push mends it."""
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
