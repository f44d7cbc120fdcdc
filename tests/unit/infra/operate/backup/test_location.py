"""Tests of backup locations."""

from pathlib import Path

import pytest

from infra.core.files import PathError
from infra.operate.backup.errors import BackupError
from infra.operate.backup.location import Location


def test_text_without_a_scheme_is_a_local_path() -> None:
    assert Location.parse("backups/dev.jsonl.gz") == Location("backups/dev.jsonl.gz")


def test_s3_url_names_bucket_and_key() -> None:
    assert Location.parse("s3://b/a/c.gz") == Location("s3://b/a/c.gz", bucket="b", key="a/c.gz")


@pytest.mark.parametrize("text", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/folder/"])
def test_s3_url_without_an_object_is_refused(text: str) -> None:
    with pytest.raises(BackupError) as error:
        Location.parse(text)
    assert str(error.value) == f"{text}: not an S3 object; write s3://bucket/folder/backup.jsonl.gz"


def test_local_path_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "b.gz"
    with Location.parse(str(path)).written(lambda _: None) as target:
        assert target == path
        target.touch()
    with Location.parse(str(path)).read() as source:
        assert source == path


def test_missing_local_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "b.gz"
    with pytest.raises(PathError, match=f"{missing}: no such file"), Location.parse(str(missing)).read():
        pytest.fail("the file does not exist")
