"""Images of single passes on their way into a stage's bucket: checked as a template's are, and named by their hash."""

import hashlib
import re
from pathlib import Path

from botocore.exceptions import ClientError

from chalicelib.aws.images import PREFIX
from chalicelib.core.errors import RefusedError
from chalicelib.passes.format.images import IMAGE_KEY_PATTERN, image_name
from infra.operate.templates.findings import Severity
from infra.operate.templates.folder import MAX_TEMPLATE_BYTES
from infra.operate.templates.images import check_image
from infra.stage import aws
from infra.stage.stage import Stage


class ImageRefusedError(RefusedError):
    """A file that cannot be an image of a pass: nothing was uploaded."""


class ImageUploads:
    """Uploads images, each content once.

    Args:
        stage: whose bucket of templates has the images.
        folder: that relative file names are in.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._bucket, self._folder = stage.templates_bucket, folder
        self._client = aws.client("s3")
        self._keys: dict[Path, str] = {}

    def key_of(self, text: str) -> str:
        """The key of a cell: one as it is, or that of the file that it names, which is uploaded.

        Raises:
            ImageRefusedError: the file cannot be read, or is not an image of a pass.
        """
        return text if re.fullmatch(IMAGE_KEY_PATTERN, text) else self.put(self._folder / text)

    def put(self, path: Path) -> str:
        """Upload a file, unless its content is there already, and return its key.

        Args:
            path: of a PNG, named as in a template: `thumbnail@2x.png`; another name is checked as a PNG alone.

        Raises:
            ImageRefusedError: it cannot be read, or is not an image of a pass.
        """
        if path not in self._keys:
            data = _read(path)
            key = hashlib.sha256(data).hexdigest()
            if not self._is_there(key):
                self._client.put_object(Bucket=self._bucket, Key=PREFIX + key, Body=data, ContentType="image/png")
            self._keys[path] = key
        return self._keys[path]

    def _is_there(self, key: str) -> bool:
        try:
            self._client.head_object(Bucket=self._bucket, Key=PREFIX + key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
                return False
            raise
        return True


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_TEMPLATE_BYTES else b""
    except OSError as error:
        raise ImageRefusedError(f"image {path}: cannot be read: {error.strerror}") from None
    if size > MAX_TEMPLATE_BYTES:
        raise ImageRefusedError(f"image {path}: has {size:,} bytes; a whole pass may have {MAX_TEMPLATE_BYTES:,}")
    stem, scale = image_name(path.name) or (path.name, 1)
    for finding in check_image(path.name, stem, scale, data):
        if finding.severity is Severity.ERROR:
            raise ImageRefusedError(f"image {path}: {finding.problem}")
    return data
