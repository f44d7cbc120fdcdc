"""Tests of reading images of single passes: the cache, existence checks and errors of S3."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from chalicelib.aws.images import ImageMissingError, Images, ImageStoreError
from tests.support.aws_answers import stub_client


@pytest.fixture
def stubber() -> Iterator[Stubber]:
    with Stubber(stub_client("s3")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def images(stubber: Stubber) -> Images:
    assert stubber
    return Images(bucket="bucket", client=stub_client("s3"))


def has(stubber: Stubber, key: str, body: bytes, **request: str) -> None:
    response: dict[str, Any] = {"Body": StreamingBody(io.BytesIO(body), len(body))}
    stubber.add_response("get_object", response, {"Bucket": "bucket", "Key": f"images/{key}", **request})


def test_image_is_read_once(stubber: Stubber, images: Images) -> None:
    has(stubber, "a", b"png")
    assert (images.get("a"), images.get("a")) == (b"png", b"png")


def test_images_over_the_limit_of_the_cache_are_read_again(stubber: Stubber, images: Images) -> None:
    large = bytes(20_000_000)
    for key in ("a", "b", "a"):
        has(stubber, key, large)
        images.get(key)


def test_existence_is_checked_once_without_reading_the_image(stubber: Stubber, images: Images) -> None:
    has(stubber, "a", b"p", Range="bytes=0-0")
    images.validate_exist(["a"])
    images.validate_exist(["a"])


def test_missing_image_is_refused(stubber: Stubber, images: Images) -> None:
    stubber.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(ImageMissingError, match="image a does not exist in this stage; upload it"):
        images.validate_exist(["a"])


def test_other_error_of_s3_is_transient(stubber: Stubber, images: Images) -> None:
    stubber.add_client_error("get_object", "SlowDown", http_status_code=503)
    with pytest.raises(ImageStoreError, match="image a"):
        images.get("a")
