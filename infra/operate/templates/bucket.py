"""Pushes templates to a stage's bucket and pulls them; `chalicelib/aws/templates.py` defines its layout."""

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path

from botocore.exceptions import ClientError

from chalicelib.aws.templates import (
    PACKAGED,
    POINTER,
    PREFIX,
    SUFFIX,
    pack,
    packaged_names,
    pointer_key,
    read_folder,
    read_history,
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
from infra.operate.templates.folder import DESIGNER_SUFFIX, write_folder
from infra.stage import aws
from infra.stage.stage import Stage

MAX_HISTORY = 20
"""The number of rollbacks that can follow each other without naming a revision."""
DESIGNER_SETTINGS = {"automaticallyGenerateCompatiblePass": False, "designerVersion": "1.0"}
"""Content of tooling.json as Pass Designer 1.0 writes it."""


def for_designer(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a template's files as Pass Designer stores them: with its settings, and an `_id` where it expects one.

    Raises:
        ValueError: pass.json is not JSON.
    """
    content = json.loads(files[PASS_JSON].decode("utf-8-sig"))
    for _, _, _, member in fields_of(content):
        member.setdefault(DESIGNER_ID, str(uuid.uuid4()).upper())
    semantics = content.get("semantics")
    seats = semantics.get("seats") if isinstance(semantics, dict) else None
    for members in (seats, content.get("featuredActions")):
        for member in members if isinstance(members, list) else ():
            if isinstance(member, dict):
                member.setdefault(DESIGNER_ID, str(uuid.uuid4()).upper())
    written = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False).encode()
    return {**files, PASS_JSON: written, TOOLING_JSON: json.dumps(DESIGNER_SETTINGS, indent=2).encode()}


class PullError(RefusedError):
    """A template cannot be pulled: it was never pushed and is not packaged, or the target exists."""


class RevisionMissingError(RefusedError):
    """A template has no such revision."""


class TemplateUsedError(RefusedError):
    """Passes use a template, so it was not deleted."""


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """A revision in the bucket, and when it was last pushed."""

    revision: str
    pushed_at: datetime


@dataclass(frozen=True, slots=True)
class PushedTemplate:
    """A pushed template.

    Args:
        name: name of the template.
        revision: the current revision.
        pushed_at: when it became current.
        revisions: all revisions, the newest first.
    """

    name: str
    revision: str
    pushed_at: datetime
    revisions: Sequence[StoredRevision]


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


@dataclass(slots=True)
class _Stored:
    """Objects of a template: its revisions, and when its pointer was written; None without one."""

    revisions: list[StoredRevision] = field(default_factory=list)
    pointed_at: datetime | None = None

    def newest_first(self, current: str | None) -> list[StoredRevision]:
        """Return the revisions by their time. S3 has whole seconds: of one second, the current one is the newest."""
        return sorted(self.revisions, key=lambda each: (each.pushed_at, each.revision == current), reverse=True)


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
        changes nothing for passes. The object of the current revision is written again if it is missing or damaged.

        Args:
            name: name of the template.
            files: contents by path.
            on_progress: called with the number of bytes of each step of the upload.

        Raises:
            TemplateError: the files are not a valid template.
        """
        revision = Template.parse(name, files).revision
        before = self._current(name)
        if before != revision or not self.is_intact(name):
            key = revision_key(name, revision)
            self._client.upload_fileobj(BytesIO(pack(files)), self._name, key, Callback=on_progress)
        if before != revision:
            self._point_to(name, revision, after=before)
        return PushedRevision(revision, before)

    def find(self, name: str, revision: str | None) -> Template:
        """Return a stored revision of a template.

        Args:
            name: name of the template.
            revision: the revision; None for the one that was current before the current one, and that no rollback has
                replaced since.

        Raises:
            RevisionMissingError: there is no such revision.
            TemplateError: the stored revision is damaged.
        """
        stored = [each.revision for each in self.revisions(name)]
        if revision is None:
            current, history = self._current(name), self._history(name)
            older = stored[stored.index(current) + 1 :] if current in stored else stored
            older = [each for each in reversed(history) if each in stored and each != current] or older
            if not older:
                raise RevisionMissingError(f"template {name}: no revision was pushed before the current one")
            revision = older[0]
        elif revision not in stored:
            raise RevisionMissingError(f"template {name} has no revision {revision}; it has {', '.join(stored)}")
        return self._verified(name, revision)

    def make_current(self, template: Template) -> PushedRevision:
        """Make a stored revision the current one."""
        before = self._current(template.name)
        if before != template.revision:
            self._point_to(template.name, template.revision, after=before)
        return PushedRevision(template.revision, before)

    def delete(self, name: str) -> None:
        """Delete a template: first the pointer, so that an interruption leaves no template without its revision."""
        self._client.delete_object(Bucket=self._name, Key=pointer_key(name))
        for stored in self.revisions(name):
            self._client.delete_object(Bucket=self._name, Key=revision_key(name, stored.revision))

    def revisions(self, name: str) -> Sequence[StoredRevision]:
        """Return the stored revisions of a template, the newest first.

        Raises:
            RevisionMissingError: the template was never pushed.
        """
        found = self._stored(f"{PREFIX}{name}/").get(name) if is_template_name(name) else None
        if found is None or not found.revisions:
            raise RevisionMissingError(f"template {name} was never pushed; `template list` shows the pushed ones")
        return found.newest_first(self._current(name))

    def current(self, name: str) -> Template | None:
        """Return the current template; None if it was never pushed."""
        revision = self._current(name)
        return Template.parse(name, self._files(name, revision)) if revision is not None else None

    def is_intact(self, name: str) -> bool:
        """Return true if a template was pushed and its current revision is as it was pushed."""
        revision = self._current(name)
        if revision is None:
            return False
        try:
            self._verified(name, revision)
        except TemplateError:
            return False
        except ClientError as error:
            if aws.error_code(error) != "NoSuchKey":
                raise
            return False
        return True

    def pull(self, name: str, into: Path, *, suffix: str = SUFFIX) -> Path:
        """Write the current revision to a new folder `NAME.pass`, completely or not at all.

        Args:
            name: name of the template.
            into: parent of the new folder.
            suffix: `.pass`, or `.pkpasstemplate` for a folder that Pass Designer opens.

        Returns:
            The new folder.

        Raises:
            PullError: the template was never pushed and is not packaged, or the folder exists already.
        """
        target = into / f"{name}{suffix}"
        if target.exists():
            raise PullError(f"{target}: already exists; move it away, or pull into another folder with --into")
        write_folder(target, self.files(name, suffix=suffix))
        return target

    def files(self, name: str, *, suffix: str = SUFFIX) -> dict[str, bytes]:
        """Return the files of a template as it was last pushed, or as it is packaged, by path.

        Args:
            name: name of the template.
            suffix: `.pass`, or `.pkpasstemplate` for files that Pass Designer opens.

        Raises:
            PullError: the template was never pushed and is not packaged.
        """
        revision = self._current(name) if is_template_name(name) else None
        if revision is None and name not in packaged_names():
            raise PullError(f"template {name} was never pushed; `template list` shows the pushed ones")
        if revision is None:
            files = read_folder(PACKAGED / f"{name}{SUFFIX}")
        else:
            files = self._files(name, revision)
            self._verified(name, revision, files)
        return for_designer(files) if suffix == DESIGNER_SUFFIX else files

    def list(self) -> list[PushedTemplate]:
        """Return the current revision of each template, sorted by name."""
        pushed = []
        for name, stored in sorted(self._stored(PREFIX).items()):
            current = self._current(name) if stored.pointed_at is not None else None
            if current is not None and stored.pointed_at is not None:
                pushed.append(PushedTemplate(name, current, stored.pointed_at, stored.newest_first(current)))
        return pushed

    def packed(self, name: str, revision: str) -> bytes:
        """Return the zip of a revision."""
        body: bytes = self._client.get_object(Bucket=self._name, Key=revision_key(name, revision))["Body"].read()
        return body

    def _stored(self, prefix: str) -> dict[str, "_Stored"]:
        """Return the objects of the templates by their names."""
        found: dict[str, _Stored] = defaultdict(_Stored)
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
            for entry in page.get("Contents", []):
                name, _, rest = entry["Key"].removeprefix(PREFIX).partition("/")
                if rest == POINTER:
                    found[name].pointed_at = entry["LastModified"]
                elif entry["Key"] == revision_key(name, revision := Path(rest).stem):
                    found[name].revisions.append(StoredRevision(revision, entry["LastModified"]))
        return found

    def _point_to(self, name: str, revision: str, *, after: str | None) -> None:
        """Make a revision current.

        A revision that was current before ends the history there: a rollback leaves out what it has replaced.

        Args:
            name: name of the template.
            revision: the revision.
            after: the one that is current until now.
        """
        history = self._history(name)
        if revision in history:
            history = history[: history.index(revision)]
        elif after is not None:
            history = [*history, after][-MAX_HISTORY:]
        self._client.put_object(
            Bucket=self._name,
            Key=pointer_key(name),
            Body=write_pointer(revision, history),
            ContentType="application/json",
        )

    def _verified(self, name: str, revision: str, files: Mapping[str, bytes] | None = None) -> Template:
        """Return a stored revision, after checking that it is what was pushed."""
        template = Template.parse(name, files or self._files(name, revision))
        if template.revision != revision:
            raise TemplateError(name, revision, "differs from what was pushed; push the template again")
        return template

    def _files(self, name: str, revision: str) -> dict[str, bytes]:
        return unpack(name, self.packed(name, revision))

    def _current(self, name: str) -> str | None:
        """Return the current revision; None if the pointer is missing or invalid, so that a push repairs it."""
        try:
            return read_pointer(name, self._pointer(name))
        except TemplateError:
            return None

    def _history(self, name: str) -> Sequence[str]:
        """Return the revisions to which rollbacks return, the oldest first."""
        return read_history(self._pointer(name))

    def _pointer(self, name: str) -> bytes:
        """Return the object that names the current revision; empty if it is missing."""
        try:
            body: bytes = self._client.get_object(Bucket=self._name, Key=pointer_key(name))["Body"].read()
        except ClientError as error:
            if aws.error_code(error) == "NoSuchKey":
                return b""
            raise
        return body
