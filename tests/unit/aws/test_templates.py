"""Tests of reading templates: revisions, the cache, packaged templates, and the errors of S3."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.aws.templates import (
    KEEP_SECONDS,
    TemplateMissingError,
    Templates,
    TemplateStoreError,
    TemplateUnreadableError,
    pack,
    packaged_names,
    pointer_key,
    read_history,
    read_pointer,
    revision_key,
    unpack,
    write_pointer,
)
from chalicelib.passes.template import Template, TemplateError
from tests.support import samples
from tests.support.aws_answers import Clock, stub_client

FIRST, SECOND = samples.files_of("coupon"), samples.files_of("storeCard")


class Bucket:
    """Stubbed responses of S3, in the order of the requests."""

    def __init__(self) -> None:
        self.client = stub_client("s3")
        self.stubber = Stubber(self.client)

    def has(self, key: str, body: bytes) -> None:
        response: dict[str, Any] = {"Body": StreamingBody(io.BytesIO(body), len(body))}
        self.stubber.add_response("get_object", response, {"Bucket": "bucket", "Key": key})

    def has_revision(self, revision: str, files: dict[str, bytes]) -> None:
        self.has(pointer_key("t"), write_pointer(revision))
        self.has(revision_key("t", revision), pack(files))

    def fails(self, code: str, status: int) -> None:
        self.stubber.add_client_error("get_object", code, http_status_code=status)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    with bucket.stubber:
        yield bucket
        bucket.stubber.assert_no_pending_responses()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def templates(bucket: Bucket, clock: Clock) -> Templates:
    return Templates(bucket="bucket", client=bucket.client, clock=clock, timer=clock)


def test_packaged_template_is_used_without_a_bucket() -> None:
    templates = Templates()
    assert "boarding" in packaged_names()
    assert templates.get("boarding") is templates.get("boarding")


def test_packaged_template_is_used_if_none_was_pushed(bucket: Bucket, templates: Templates) -> None:
    bucket.fails("NoSuchKey", 404)
    assert templates.get("boarding").content == Templates().get("boarding").content


def test_missing_template_is_refused_and_packaged_ones_are_named() -> None:
    with pytest.raises(TemplateMissingError, match=r"'missing' does not exist; push it .*packaged: boarding"):
        Templates().get("missing")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x" * 500])
def test_invalid_name_is_refused_without_a_request(templates: Templates, name: str) -> None:
    with pytest.raises(TemplateMissingError):
        templates.get(name)


def test_new_revision_is_used_after_keep_seconds(bucket: Bucket, templates: Templates, clock: Clock) -> None:
    bucket.has_revision("1", FIRST)
    first = templates.get("t")
    clock.now += KEEP_SECONDS - 0.1
    assert templates.get("t") is first
    clock.now += 0.1
    bucket.has_revision("2", SECOND)
    assert templates.get("t").content != first.content


def test_unchanged_revision_is_not_read_again(bucket: Bucket, templates: Templates, clock: Clock) -> None:
    bucket.has_revision("1", FIRST)
    first = templates.get("t")
    clock.now += KEEP_SECONDS
    bucket.has(pointer_key("t"), write_pointer(first.revision))
    assert templates.get("t") is first


def test_max_age_0_reads_the_pointer_always(bucket: Bucket, templates: Templates) -> None:
    bucket.has_revision("1", FIRST)
    first = templates.get("t")
    bucket.has_revision("2", SECOND)
    assert templates.get("t", max_age_seconds=0.0).content != first.content


def test_cached_template_is_used_while_s3_fails(bucket: Bucket, templates: Templates, clock: Clock) -> None:
    bucket.has_revision("1", FIRST)
    first = templates.get("t")
    clock.now += KEEP_SECONDS
    bucket.fails("SlowDown", 503)
    assert templates.get("t") is first


def test_announced_revision_is_not_replaced_by_an_older_one_while_s3_fails(
    bucket: Bucket, templates: Templates, clock: Clock
) -> None:
    """A phone that downloads the older design now would never be notified of the announced one again."""
    bucket.has_revision("1", FIRST)
    first = templates.get("t")
    clock.now += KEEP_SECONDS
    bucket.fails("SlowDown", 503)
    assert templates.get("t") is first
    newer = Template.parse("t", SECOND).revision
    bucket.fails("SlowDown", 503)
    with pytest.raises(TemplateStoreError):
        templates.get("t", announced=newer)
    assert templates.get("t", announced=first.revision) is first
    bucket.has_revision("2", SECOND)
    assert templates.get("t", announced=newer).revision == newer


def test_max_age_0_does_not_fall_back_to_the_cache(bucket: Bucket, templates: Templates) -> None:
    bucket.has_revision("1", FIRST)
    templates.get("t")
    bucket.fails("SlowDown", 503)
    with pytest.raises(TemplateStoreError):
        templates.get("t", max_age_seconds=0.0)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "SlowDown", TemplateStoreError),
        (500, "InternalError", TemplateStoreError),
        (400, "RequestTimeout", TemplateStoreError),
        (429, "TooManyRequestsException", TemplateStoreError),
        (403, "AccessDenied", TemplateUnreadableError),
        (400, "KeyTooLongError", TemplateUnreadableError),
        (404, "NoSuchBucket", TemplateUnreadableError),
        (400, "InvalidArgument", TemplateUnreadableError),
    ],
)
def test_error_of_s3_is_transient_only_if_a_retry_may_help(
    bucket: Bucket, templates: Templates, status: int, code: str, error: type[Exception]
) -> None:
    bucket.fails(code, status)
    with pytest.raises(error, match=f"template t: S3 .*{code}"):
        templates.get("t")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"revision": 5}', b'{"revision": "../../x"}', b"[" * 100_000])
def test_invalid_pointer_is_refused(body: bytes) -> None:
    with pytest.raises(TemplateError, match="push the template again"):
        read_pointer("t", body)


@given(st.text(alphabet="0123456789abcdef", min_size=1))
def test_pointer_names_its_revision(revision: str) -> None:
    assert read_pointer("t", write_pointer(revision)) == revision


@given(st.dictionaries(st.text(alphabet="abc/", min_size=1), st.binary()))
def test_revision_contains_its_files_and_is_reproducible(files: dict[str, bytes]) -> None:
    packed = pack(files)
    assert unpack("t", packed) == files
    assert pack(dict(reversed(files.items()))) == packed


@given(st.binary(max_size=200))
def test_damaged_revision_is_refused(body: bytes) -> None:
    with pytest.raises(TemplateError, match="push the template again"):
        unpack("t", body)


def test_revision_that_unpacks_to_too_much_is_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(65_000_000))
    with pytest.raises(TemplateError, match="65,000,000 bytes"):
        unpack("t", packed.getvalue())


def test_pointer_has_the_revisions_to_which_rollbacks_return() -> None:
    assert read_history(write_pointer("c", ["a", "b"])) == ["a", "b"]
    assert read_pointer("t", write_pointer("c", ["a", "b"])) == "c"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"revision": "a"}', b'{"history": 7}', b'{"history": [7, "../x", null]}']
)
def test_pointer_without_history_has_none(body: bytes) -> None:
    assert read_history(body) == []
