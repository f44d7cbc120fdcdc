"""The location of a backup: a local file, an object in S3, or standard output and input (`-`)."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from botocore.exceptions import ClientError

from infra.core.files import STANDARD, PathError, check_new, spooled_input, spooled_output
from infra.operate.backup.errors import BackupError
from infra.stage import aws

SCHEME = "s3://"
NAME = "backup.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Location:
    """A local file, an S3 object, or standard output and input.

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
        """Parse a path, `s3://bucket/key` or `-`.

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
            BackupError: the bucket does not exist, or the object exists already.
            PathError: the file exists already, or its folder is missing.
        """
        if self.text == STANDARD:
            with spooled_output(NAME) as path:
                yield path
            return
        if not self.bucket:
            check_new(Path(self.text))
            yield Path(self.text)
            return
        if self._exists():
            raise BackupError(f"{self.text}: already exists; choose another object")
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            yield path
            # S3 encrypts every object with its bucket's default key (AWS, "Protecting data with encryption").
            with path.open("rb") as file:  # `upload_file` would wrap AWS's errors in one of its own
                aws.client("s3").upload_fileobj(file, self.bucket, self.key, Callback=on_progress)

    @contextlib.contextmanager
    def read(self) -> Iterator[Path]:
        """Provide a path to read the backup from; an S3 object is downloaded first.

        Raises:
            PathError: the file does not exist.
            BackupError: the bucket or the object does not exist.
        """
        if self.text == STANDARD:
            with spooled_input(NAME) as path:
                yield path
            return
        if not self.bucket:
            if not Path(self.text).is_file():
                raise PathError(f"{self.text}: no such file")
            yield Path(self.text)
            return
        if not self._exists():
            raise BackupError(f"{self.text}: no such object")
        with TemporaryDirectory() as folder:
            path = Path(folder) / NAME
            aws.client("s3").download_file(self.bucket, self.key, str(path))
            yield path

    def _exists(self) -> bool:
        """Return True if the object exists.

        Raises:
            BackupError: there is no such bucket.
        """
        client = aws.client("s3")
        try:
            client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if aws.error_code(error) in aws.NOT_FOUND_CODES:
                raise BackupError(f"{self.text}: there is no bucket {self.bucket}; create it first") from None
            raise
        try:
            client.head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            if aws.error_code(error) in aws.NOT_FOUND_CODES:
                return False
            raise
        return True
