"""The location of a backup: a local file, or an object in S3."""

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
NOT_FOUND = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")


@dataclass(frozen=True, slots=True)
class Location:
    """A local file or an S3 object.

    Args:
        text: as given on the command line.
        bucket: the S3 bucket; empty for a local file.
        key: the S3 key; empty for a local file.
    """

    text: str
    bucket: str = ""
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a path or `s3://bucket/key`.

        Raises:
            BackupError: the text begins with `s3://` and does not name an object.
        """
        if not text.startswith(SCHEME):
            return cls(text)
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not bucket or not key or key.endswith("/"):
            raise BackupError(f"{text}: not an S3 object; write s3://bucket/folder/{NAME}")
        return cls(text, bucket, key)

    @contextlib.contextmanager
    def written(self, on_progress: Callable[[int], object]) -> Iterator[Path]:
        """Provide a path to write the backup to; for S3, upload it when the context ends without an error.

        Args:
            on_progress: called with the number of bytes of each step of the upload.

        Raises:
            BackupError: the object exists already.
        """
        if not self.bucket:
            yield Path(self.text)
            return
        client = aws.client("s3")
        if self._exists():
            raise BackupError(f"{self.text}: already exists; choose another object")
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            yield path
            # S3 encrypts every object with its bucket's default key (AWS, "Protecting data with encryption").
            client.upload_file(str(path), self.bucket, self.key, Callback=on_progress)

    @contextlib.contextmanager
    def read(self) -> Iterator[Path]:
        """Provide a path to read the backup from; an S3 object is downloaded first.

        Raises:
            BackupError: the file or the object does not exist.
        """
        if not self.bucket:
            if not Path(self.text).is_file():
                raise BackupError(f"{self.text}: no such file")
            yield Path(self.text)
            return
        if not self._exists():
            raise BackupError(f"{self.text}: no such object")
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            aws.client("s3").download_file(self.bucket, self.key, str(path))
            yield path

    def _exists(self) -> bool:
        try:
            aws.client("s3").head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in NOT_FOUND:
                return False
            raise
        return True
