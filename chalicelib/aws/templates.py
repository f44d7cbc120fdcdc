"""Where templates come from: a bucket that designers push to, and the folders that are packaged with the app.

A push writes one immutable object for the revision, then a small pointer to it. A warm sandbox keeps what it parsed and
looks at the pointer every `KEEP_SECONDS`, so a new revision is in every pass that is made `KEEP_SECONDS` after the
push, without a deploy. A template that was never pushed is the packaged one of that name.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.aws.clocks import Clocks, Moment
from chalicelib.core.errors import RefusedError, TransientError, shown
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, is_template_name
from chalicelib.passes.template import Template, TemplateError
from chalicelib.telemetry import log

PACKAGED = Path(__file__).parents[1] / "templates"
SUFFIX = ".pass"
PREFIX = "templates/"
POINTER = "current.json"
KEEP_SECONDS = 5.0
MAX_UNPACKED_BYTES = 64_000_000
"""Far above what `template push` takes: a damaged or hostile object must not use up the function's memory."""
TRANSIENT_CODES = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "TooManyRequestsException",
    }
)
"""Answers below 500 that S3 asks to try again after (AWS, "S3 error responses"; botocore's own list of throttling)."""
SERVER_ERROR = 500
_EPOCH = (1980, 1, 1, 0, 0, 0)


class TemplateMissingError(RefusedError):
    """An item names a template that does not exist."""


class TemplateUnreadableError(RefusedError):
    """S3 refuses to hand out a template, and would again: for example because access is denied."""


class TemplateStoreError(TransientError):
    """S3 did not answer, is throttling, or failed on its own side: the same read may succeed later."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What an execution environment knows of a template, and since when."""

    template: Template
    looked_at: Moment


class Templates:
    """Templates by name, each parsed once for each revision.

    Args:
        bucket: S3's; empty for the packaged templates alone.
        folder: of the packaged ones.
        clock: epoch seconds.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        *,
        bucket: str = "",
        folder: Path = PACKAGED,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._clocks = Clocks(clock, timer)
        self._kept: dict[str, _Kept] = {}

    def get(self, name: str, *, max_age_seconds: float = KEEP_SECONDS) -> Template:
        """The template of that name, as it was `max_age_seconds` ago or later.

        Args:
            name: without `.pass`.
            max_age_seconds: how old what this sandbox knows may be; 0 to ask S3 in any case, and then an old template
                does not stand in for one that cannot be read.

        Raises:
            TemplateMissingError: there is none.
            TemplateError: it cannot be a template.
            TemplateUnreadableError: S3 refuses the read, and the template was not read before.
            TemplateStoreError: S3 did not answer, and the template was not read before.
        """
        if not is_template_name(name):
            raise TemplateMissingError(f"template '{shown(name)}' does not exist: a name is {TEMPLATE_NAME_RULE}")
        kept = self._kept.get(name)
        now = self._clocks.now()
        if kept is not None and (not self._bucket or self._clocks.seconds_since(kept.looked_at) < max_age_seconds):
            return kept.template
        try:
            template = self._look(name, kept.template if kept else None)
        except (BotoCoreError, ClientError) as error:
            if kept is None or not max_age_seconds:
                raise _store_error(name, error) from None
            log.event("template_check_failed", template=name, error=type(error).__name__)
            template = kept.template  # an old template serves better than none while S3 is away
        self._kept[name] = _Kept(template, now)
        return template

    def _look(self, name: str, known: Template | None) -> Template:
        """What is current: `known`, if it still is."""
        revision = self._current_revision(name)
        if known is not None and known.revision == (revision or known.revision):
            return known
        if revision is None:
            return self._packaged(name)
        body = self._client.get_object(Bucket=self._bucket, Key=revision_key(name, revision))["Body"].read()
        return Template.parse(name, unpack(name, body))

    def _current_revision(self, name: str) -> str | None:
        """Of the pushed template; None where none was."""
        if not self._bucket:
            return None
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=pointer_key(name))["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None
        return read_pointer(name, body)

    def _packaged(self, name: str) -> Template:
        packaged = packaged_names(self._folder)
        if name not in packaged:
            known = ", ".join(packaged) or "none"
            raise TemplateMissingError(
                f"template '{name}' does not exist; push it with `python -m infra template push` (packaged: {known})"
            )
        return Template.parse(name, read_folder(self._folder / f"{name}{SUFFIX}"))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        return session.client("s3")


def _store_error(name: str, error: BotoCoreError | ClientError) -> RefusedError | TransientError:
    """What a failed read of S3 means: whether the same read may succeed later.

    S3's own message is left out: it can repeat the request.
    """
    if not isinstance(error, ClientError):
        return TemplateStoreError(f"template {name}: S3 did not answer: {type(error).__name__}")
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status >= SERVER_ERROR or code in TRANSIENT_CODES or not status:
        return TemplateStoreError(f"template {name}: S3 did not answer: {shown(code)}")
    return TemplateUnreadableError(
        f"template {name}: S3 refuses to hand it out: {shown(code)}; check the templates bucket, then push it again"
    )


def packaged_names(folder: Path = PACKAGED) -> list[str]:
    """Of the templates that come with the app, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def read_folder(folder: Path) -> dict[str, bytes]:
    """A template folder's files by path relative to it, hidden ones left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def pointer_key(name: str) -> str:
    """Of the object that names the current revision."""
    return f"{PREFIX}{name}/{POINTER}"


def revision_key(name: str, revision: str) -> str:
    """Of the immutable object of a revision."""
    return f"{PREFIX}{name}/revisions/{revision}.zip"


def write_pointer(revision: str) -> bytes:
    """The pointer to a revision."""
    return json.dumps({"revision": revision}).encode()


def read_pointer(name: str, body: bytes) -> str:
    """The revision that a pointer names.

    Raises:
        TemplateError: it is no pointer.
    """
    try:
        revision = json.loads(body)["revision"]
    except (ValueError, LookupError, TypeError, RecursionError):
        revision = None
    if not isinstance(revision, str) or not revision.isalnum():
        raise TemplateError(name, POINTER, "names no revision; push the template again")
    return revision


def pack(files: Mapping[str, bytes]) -> bytes:
    """A revision's object: the same files, the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), files[path], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(name: str, packed: bytes) -> dict[str, bytes]:
    """A revision's files by path.

    Raises:
        TemplateError: these bytes are no revision.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to {size:,} bytes")  # noqa: TRY301 - one message for all that is wrong
            return {path: archive.read(path) for path in archive.namelist()}
    except Exception as error:  # noqa: BLE001 - damaged bytes raise whatever their decompressor does: zlib, lzma, bz2, ...
        problem = f"cannot be read: {type(error).__name__}: {error}; push the template again"
        raise TemplateError(name, "(revision)", problem) from None
