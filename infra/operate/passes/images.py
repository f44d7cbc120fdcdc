"""Images of single passes: uploads to a stage's bucket under their hash, and images of items on this machine."""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from botocore.exceptions import ClientError

from chalicelib.aws.images import PREFIX, Images
from chalicelib.core.errors import RefusedError
from chalicelib.passes.format.findings import Level
from chalicelib.passes.format.images import IMAGE_KEY_PATTERN, image_name
from infra.core.files import STANDARD_INPUT
from infra.operate.templates.folder import MAX_TEMPLATE_BYTES
from infra.operate.templates.images import check_image
from infra.stage import aws
from infra.stage.stage import Stage


class ImageRefusedError(RefusedError):
    """A file is not a valid image of a pass; it was not uploaded."""


class ImageUploads:
    """Uploads images, each content once.

    Args:
        stage: the stage whose bucket receives the images.
        folder: folder of relative file names.
        dry_run: files are checked and not uploaded.
    """

    def __init__(self, stage: Stage, folder: Path, *, dry_run: bool = False) -> None:
        self._bucket, self._folder, self._dry_run = stage.templates_bucket, folder, dry_run
        self._client = aws.client("s3")
        self._keys: dict[Path, str] = {}

    def key_of(self, text: str) -> str:
        """Return the image key in a cell, or upload the file that the cell names and return its key.

        Raises:
            ImageRefusedError: the file cannot be read, or is not a valid image of a pass.
        """
        return text if re.fullmatch(IMAGE_KEY_PATTERN, text) else self.put(self._folder / text)

    def put(self, path: Path) -> str:
        """Upload a file, unless the bucket has its content already, and return its key.

        Args:
            path: a PNG. If it is named as in a template, such as `thumbnail@2x.png`, its size is checked too.

        Raises:
            ImageRefusedError: the file cannot be read, or is not a valid image of a pass.
        """
        if path not in self._keys:
            self._keys[path] = self._put(_read(path))
        return self._keys[path]

    def put_standard_input(self) -> str:
        """Upload the PNG that standard input contains, as `put` does.

        Raises:
            ImageRefusedError: it is not a valid image of a pass.
        """
        return self._put(_validated(Path(STANDARD_INPUT), sys.stdin.buffer.read(MAX_TEMPLATE_BYTES + 1)))

    def _put(self, data: bytes) -> str:
        key = hashlib.sha256(data).hexdigest()
        if not self._dry_run and not self._exists(key):
            self._client.put_object(Bucket=self._bucket, Key=PREFIX + key, Body=data, ContentType="image/png")
        return key

    def _exists(self, key: str) -> bool:
        try:
            self._client.head_object(Bucket=self._bucket, Key=PREFIX + key)
        except ClientError as error:
            if aws.error_code(error) in aws.NOT_FOUND_CODES:
                return False
            raise
        return True


class ItemImages:
    """Images of an item in a file: keys of a stage's images, or names of files beside the item.

    Args:
        folder: folder of relative file names.
        open_stage: returns the stage whose bucket has the images of keys, called if there is one; None without a stage.
    """

    def __init__(self, folder: Path, open_stage: Callable[[], Stage] | None) -> None:
        self._folder = folder
        self._open_stage = open_stage
        self._stored: Images | None = None
        self._files: dict[str, bytes] = {}

    def with_keys(self, attributes: Mapping[str, object]) -> dict[str, object]:
        """Return an item's attributes with the keys of its image files in place of their names.

        Raises:
            ImageRefusedError: a file cannot be read, or is not a valid image of a pass.
        """
        return {
            name: self._with_keys(value) if name == "images" or name.startswith("images.") else value
            for name, value in attributes.items()
        }

    def get(self, key: str) -> bytes:
        """Return the image of a key.

        Raises:
            ImageRefusedError: the key is that of a stored image, and no stage is given.
            ImageMissingError: the stage does not have the image.
        """
        if key in self._files:
            return self._files[key]
        if self._stored is None and self._open_stage is not None:
            self._stored = Images(bucket=self._open_stage().templates_bucket, client=aws.client("s3"))
        if self._stored is None:
            raise ImageRefusedError(
                f"image {key}: is the key of an image in a stage; give --stage, or write the name of a file instead"
            )
        return self._stored.get(key)

    def _with_keys(self, value: object) -> object:
        if isinstance(value, str) and value.startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return value
        if isinstance(value, Mapping):
            return {name: self._with_keys(member) for name, member in value.items()}
        if not isinstance(value, str) or re.fullmatch(IMAGE_KEY_PATTERN, value):
            return value
        data = _read(self._folder / value)
        key = hashlib.sha256(data).hexdigest()
        self._files[key] = data
        return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _validated(path, file.read(MAX_TEMPLATE_BYTES + 1))
    except OSError as error:
        raise ImageRefusedError(f"image {path}: cannot be read: {error.strerror}") from None


def _validated(path: Path, data: bytes) -> bytes:
    if len(data) > MAX_TEMPLATE_BYTES:
        raise ImageRefusedError(
            f"image {path}: has more than the {MAX_TEMPLATE_BYTES:,} bytes of a whole pass; use a smaller one"
        )
    stem, scale = image_name(path.name) or (path.name, 1)
    for finding in check_image(path.name, stem, scale, data):
        if finding.level is Level.ERROR:
            raise ImageRefusedError(f"image {path}: {finding.problem}")
    return data
