"""Images of single passes, such as a member's photo: PNGs in the stage's bucket, each under the hash of its content.

A changed image is another key and so a changed item, and what a warm execution environment keeps is never stale.
"""

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws import session
from chalicelib.core.errors import RefusedError, TransientError

PREFIX = "images/"
MAX_KEPT_BYTES = 32_000_000
MAX_KNOWN_KEYS = 100_000


class ImageMissingError(RefusedError):
    """An item names an image that this stage does not have."""


class ImageStoreError(TransientError):
    """S3 did not answer."""


class Images:
    """The images of a stage, the ones used last kept in memory.

    Args:
        bucket: the name of the S3 bucket.
    """

    def __init__(self, *, bucket: str) -> None:
        self._bucket = bucket
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._known: set[str] = set()

    def get(self, key: str) -> bytes:
        """The PNG of a key.

        Args:
            key: the SHA-256 of its content, in hexadecimal.

        Raises:
            ImageMissingError: there is no such image.
            ImageStoreError: S3 did not answer.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        data = self._read(key)
        self._kept[key] = data
        self._kept_bytes += len(data)
        while self._kept_bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return data

    def require(self, keys: Iterable[str]) -> None:
        """Make sure that images are there, without reading them.

        Raises:
            ImageMissingError: one is not.
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
                    f"image {key}: this stage does not have it; upload it, then write the item again"
                ) from None
            raise ImageStoreError(f"image {key}: S3 did not answer: {type(error).__name__}") from None
        except BotoCoreError as error:
            raise ImageStoreError(f"image {key}: S3 did not answer: {type(error).__name__}") from None
        return data

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - botocore makes its clients at run time, without types
        return session.client("s3")
