"""Reads templates from the bucket that designers push to, and from the folders that are packaged with the app.

A push writes one immutable object for the revision, then a small pointer to it. A warm execution environment caches
parsed templates and checks the pointer every `KEEP_SECONDS`, so every pass that is built `KEEP_SECONDS` after the push
has the new revision, without a deploy. If a template was never pushed, the packaged one of that name is used.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.aws.clocks import Clocks, Moment
from chalicelib.core.errors import RefusedError, TransientError, excerpt
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, is_template_name
from chalicelib.passes.template import Template, TemplateError
from chalicelib.telemetry import log

PACKAGED = Path(__file__).parents[1] / "templates"
SUFFIX = ".pass"
PREFIX = "templates/"
POINTER = "current.json"
KEEP_SECONDS = 5.0
MAX_UNPACKED_BYTES = 64_000_000
"""Far above the limit for a push: a damaged or hostile object must not exhaust the function's memory."""
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
"""Error codes with a status below 500 that are worth a retry (AWS, "S3 error responses"; botocore's list of throttling
errors).
"""
SERVER_ERROR = 500
_EPOCH = (1980, 1, 1, 0, 0, 0)


class TemplateMissingError(RefusedError):
    """An item names a template that does not exist."""


class TemplateUnreadableError(RefusedError):
    """S3 refuses to read a template, and a retry would not help: for example, access is denied."""


class TemplateStoreError(TransientError):
    """S3 did not answer, is throttling, or failed on its own side: the same read may succeed later."""


@dataclass(frozen=True, slots=True)
class _Cached:
    """A parsed template, when its pointer was last checked, and whether S3 answered then."""

    template: Template
    checked_at: Moment
    confirmed: bool = True


class Templates:
    """Templates by name; each revision is parsed once.

    Args:
        bucket: name of the S3 bucket; empty for the packaged templates only.
        folder: of the packaged templates.
        clock: epoch seconds.
        timer: monotonic seconds.
        client: botocore's client for S3; None to make one at the first read.
    """

    def __init__(
        self,
        *,
        bucket: str = "",
        folder: Path = PACKAGED,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        client: Any = None,  # noqa: ANN401 - botocore's clients have no types
    ) -> None:
        self._given_client = client
        self._bucket = bucket
        self._folder = folder
        self._clocks = Clocks(clock, timer)
        self._cache: dict[str, _Cached] = {}

    def get(self, name: str, *, max_age_seconds: float | None = None, announced: str | None = None) -> Template:
        """Return a template that was current `max_age_seconds` ago or later.

        Args:
            name: without `.pass`.
            max_age_seconds: maximum age of a cached template; None for `KEEP_SECONDS`. With 0 the pointer is always
                read, and a cached template does not replace one that cannot be read.
            announced: the revision of which the phones of a pass were notified. While S3 does not answer, no other
                cached one replaces it: a phone that has downloaded an older design is not notified again.

        Raises:
            TemplateMissingError: there is no template of that name.
            TemplateError: invalid template.
            TemplateUnreadableError: S3 refuses the read, and no revision is cached.
            TemplateStoreError: S3 did not answer, and no revision is cached.
        """
        if not is_template_name(name):
            raise TemplateMissingError(f"template '{excerpt(name)}' does not exist: a name is {TEMPLATE_NAME_RULE}")
        cached = self._cache.get(name)
        now = self._clocks.now()
        max_age = KEEP_SECONDS if max_age_seconds is None else max_age_seconds
        if (
            cached is not None
            and (not self._bucket or self._clocks.seconds_since(cached.checked_at) < max_age)
            and (cached.confirmed or announced in {None, cached.template.revision})
        ):
            return cached.template
        try:
            template = self._read_current(name, cached.template if cached else None)
        except (BotoCoreError, ClientError) as error:
            if cached is None or max_age == 0 or announced not in {None, cached.template.revision}:
                raise _store_error(name, error) from None
            log.event("template_check_failed", template=name, error=type(error).__name__)
            # better an old template than none while S3 is unavailable
            self._cache[name] = _Cached(cached.template, now, confirmed=False)
            return cached.template
        self._cache[name] = _Cached(template, now)
        return template

    def _read_current(self, name: str, known: Template | None) -> Template:
        """Read the current template; returns `known` if its revision is still current."""
        revision = self._current_revision(name)
        if known is not None and known.revision == (revision or known.revision):
            return known
        if revision is None:
            return self._packaged(name)
        body = self._client.get_object(Bucket=self._bucket, Key=revision_key(name, revision))["Body"].read()
        return Template.parse(name, unpack(name, body))

    def _current_revision(self, name: str) -> str | None:
        """Read the pointer; None if no template of that name was pushed."""
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
                f"template '{name}' does not exist; push it to the templates bucket (packaged: {known})"
            )
        return Template.parse(name, read_folder(self._folder / f"{name}{SUFFIX}"))

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401
        return self._given_client if self._given_client is not None else session.client("s3")


def _store_error(name: str, error: BotoCoreError | ClientError) -> RefusedError | TransientError:
    """Classify a failed read of S3: refused permanently, or worth a retry.

    S3's own message is left out because it can repeat the request.
    """
    if not isinstance(error, ClientError):
        return TemplateStoreError(f"template {name}: S3 did not answer: {type(error).__name__}")
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status >= SERVER_ERROR or code in TRANSIENT_CODES or not status:
        return TemplateStoreError(f"template {name}: S3 did not answer: {excerpt(code)}")
    return TemplateUnreadableError(
        f"template {name}: S3 refuses access: {excerpt(code)}; check the templates bucket, then push the template again"
    )


def packaged_names(folder: Path = PACKAGED) -> list[str]:
    """List the names of the packaged templates, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def read_folder(folder: Path) -> dict[str, bytes]:
    """Read the files of a template folder by relative path, without hidden files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def pointer_key(name: str) -> str:
    """Return the key of the object that names the current revision."""
    return f"{PREFIX}{name}/{POINTER}"


def revision_key(name: str, revision: str) -> str:
    """Return the key of the immutable object of a revision."""
    return f"{PREFIX}{name}/revisions/{revision}.zip"


def write_pointer(revision: str, history: Sequence[str] = ()) -> bytes:
    """Encode the pointer to a revision, with those to which rollbacks return, the oldest first."""
    return json.dumps({"revision": revision, **({"history": list(history)} if history else {})}).encode()


def read_pointer(name: str, body: bytes) -> str:
    """Decode a pointer.

    Returns:
        The current revision.

    Raises:
        TemplateError: invalid pointer.
    """
    try:
        revision = json.loads(body)["revision"]
    except (ValueError, LookupError, TypeError, RecursionError):
        revision = None
    if not isinstance(revision, str) or not revision.isalnum():
        raise TemplateError(name, POINTER, "does not name a revision; push the template again")
    return revision


def read_history(body: bytes) -> list[str]:
    """Decode the revisions of a pointer to which rollbacks return, the oldest first, without invalid ones."""
    try:
        history = json.loads(body)["history"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    return [each for each in history if isinstance(each, str) and each.isalnum()] if isinstance(history, list) else []


def pack(files: Mapping[str, bytes]) -> bytes:
    """Encode the object of a revision. The same files always give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), files[path], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(name: str, packed: bytes) -> dict[str, bytes]:
    """Decode the object of a revision into files by path.

    Raises:
        TemplateError: the bytes cannot be unpacked, or unpack to more than `MAX_UNPACKED_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to {size:,} bytes")  # noqa: TRY301 - one message for all errors
            return {path: archive.read(path) for path in archive.namelist()}
    except Exception as error:  # noqa: BLE001 - damaged bytes raise errors of any decompressor: zlib, lzma, bz2, ...
        problem = f"cannot be read: {type(error).__name__}: {error}; push the template again"
        raise TemplateError(name, "(revision)", problem) from None
