"""Where a backup lies: a file here, or an object in S3."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from botocore.exceptions import ClientError

from infra.operate.backup.errors import BackupError
from infra.stage import aws

SCHEME = "s3://"
NAME = "backup.jsonl.gz"
NOT_THERE = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")


@dataclass(frozen=True, slots=True)
class Location:
    """A path, or an object.

    Args:
        text: as it was given.
        bucket: empty for a file.
        key: likewise.
    """

    text: str
    bucket: str = ""
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a path or `s3://bucket/key`.

        Raises:
            BackupError: it begins like an object and is none.
        """
        if not text.startswith(SCHEME):
            return cls(text)
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not bucket or not key or key.endswith("/"):
            raise BackupError(f"{text}: name an object, as s3://bucket/folder/{NAME}")
        return cls(text, bucket, key)

    @contextlib.contextmanager
    def written(self, uploaded: Callable[[int], object]) -> Iterator[Path]:
        """A path to write the backup to; it is in its place when the context ends well, and nowhere otherwise.

        Args:
            uploaded: takes the count of bytes of each step on the way to S3.

        Raises:
            BackupError: there is such an object already.
        """
        if not self.bucket:
            yield Path(self.text)
            return
        client = aws.client("s3")
        if self._is_there():
            raise BackupError(f"{self.text}: is there already; name another object")
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            yield path
            # S3 encrypts every object, with the key that its bucket says (AWS, "Protecting data with encryption").
            client.upload_file(str(path), self.bucket, self.key, Callback=uploaded)

    @contextlib.contextmanager
    def read(self) -> Iterator[Path]:
        """A path to read the backup from.

        Raises:
            BackupError: there is none.
        """
        if not self.bucket:
            if not Path(self.text).is_file():
                raise BackupError(f"{self.text}: there is no such file")
            yield Path(self.text)
            return
        if not self._is_there():
            raise BackupError(f"{self.text}: there is no such object")
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            aws.client("s3").download_file(self.bucket, self.key, str(path))
            yield path

    def _is_there(self) -> bool:
        try:
            aws.client("s3").head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_THERE:
                return False
            raise
        return True
