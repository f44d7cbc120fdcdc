"""Reads images of single passes, such as a member's photo: PNGs in the stage's bucket under the hash of their content.

A changed image has another key, so its item changes too, and a cached image is never stale.
"""

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.core.errors import RefusedError, TransientError

PREFIX = "images/"
MAX_CACHED_BYTES = 32_000_000
MAX_KNOWN_KEYS = 100_000


class ImageMissingError(RefusedError):
    """An item names an image that this stage does not have."""


class ImageStoreError(TransientError):
    """S3 did not answer."""


class Images:
    """The images of a stage; recently used ones are cached in memory.

    Args:
        bucket: name of the S3 bucket.
        client: botocore's client for S3; None to make one at the first read.
    """

    def __init__(self, *, bucket: str, client: Any = None) -> None:  # noqa: ANN401 - botocore's clients have no types
        self._given_client = client
        self._bucket = bucket
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._known: set[str] = set()

    def get(self, key: str) -> bytes:
        """Read the PNG of a key.

        Args:
            key: the SHA-256 of its content, in hexadecimal.

        Raises:
            ImageMissingError: there is no such image.
            ImageStoreError: S3 did not answer.
        """
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        data = self._read(key)
        self._cache[key] = data
        self._cached_bytes += len(data)
        while self._cached_bytes > MAX_CACHED_BYTES and len(self._cache) > 1:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1])
        return data

    def validate_exist(self, keys: Iterable[str]) -> None:
        """Check that images exist, without reading them.

        Raises:
            ImageMissingError: one does not exist.
            ImageStoreError: S3 did not answer.
        """
        for key in keys:
            if key not in self._known:
                self._read(key, part="bytes=0-0")
                if len(self._known) >= MAX_KNOWN_KEYS:
                    self._known.clear()
                self._known.add(key)

    def _read(self, key: str, **options: str) -> bytes:
        request = {"Range": options["part"]} if options else {}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=PREFIX + key, **request)
            data: bytes = answer["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise ImageMissingError(
                    f"image {key} does not exist in this stage; upload it, then write the item again"
                ) from None
            raise ImageStoreError(f"image {key}: S3 did not answer: {type(error).__name__}") from None
        except BotoCoreError as error:
            raise ImageStoreError(f"image {key}: S3 did not answer: {type(error).__name__}") from None
        return data

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - botocore makes its clients at run time, without types
        return self._given_client if self._given_client is not None else session.client("s3")
