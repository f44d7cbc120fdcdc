"""Templates in the bucket: what a warm sandbox serves, and when it sees a new revision."""

import secrets
from pathlib import Path

import boto3
import pytest

from chalicelib import template_store
from chalicelib.domain.template import TemplateError
from chalicelib.template_store import (
    KEEP_SECONDS,
    PACKAGED,
    TemplateMissingError,
    Templates,
    TemplateStoreError,
    pack,
    packaged_names,
    pointer_key,
    read_folder,
    unpack,
)
from infra.local.stack import LocalStack
from infra.templates.bucket import PullError, TemplatesBucket
from tests import samples

FIRST, SECOND = samples.files_of("coupon"), samples.files_of("storeCard")


class Clock:
    """Epoch seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(stack: LocalStack) -> TemplatesBucket:
    return TemplatesBucket(stack.templates_bucket)


@pytest.fixture
def templates(stack: LocalStack, clock: Clock) -> Templates:
    return Templates(bucket=stack.templates_bucket, clock=clock)


@pytest.fixture
def name() -> str:
    """One that no other test has."""
    return f"t-{secrets.token_hex(4)}"


def push(bucket: TemplatesBucket, name: str, files: dict[str, bytes]) -> str:
    return bucket.push(name, files, uploaded=lambda _: None).revision


def test_without_a_bucket_the_packaged_templates_are_there() -> None:
    assert "boarding" in packaged_names()
    assert Templates().get("boarding").content["description"] == "Boarding pass"
    with pytest.raises(TemplateMissingError, match=r"'missing' does not exist; push it .*packaged: boarding"):
        Templates().get("missing")


def test_a_packaged_template_is_parsed_once() -> None:
    templates = Templates()
    assert templates.get("boarding") is templates.get("boarding")


def test_a_pushed_template_stands_before_the_packaged_one_of_its_name(
    bucket: TemplatesBucket, templates: Templates, name: str
) -> None:
    with pytest.raises(TemplateMissingError):
        templates.get(name)
    revision = push(bucket, name, FIRST)
    assert templates.get(name).revision == revision
    assert templates.get("boarding").content == Templates().get("boarding").content


def test_a_warm_sandbox_sees_a_new_revision_within_the_stated_time_and_parses_each_once(
    bucket: TemplatesBucket, templates: Templates, clock: Clock, name: str
) -> None:
    push(bucket, name, FIRST)
    first = templates.get(name)
    second = push(bucket, name, SECOND)
    clock.now += KEEP_SECONDS - 0.1
    assert templates.get(name) is first
    clock.now += 0.1
    assert templates.get(name).revision == second
    kept = templates.get(name)
    clock.now += KEEP_SECONDS
    assert templates.get(name) is kept


def test_new_revision_is_seen_by_whichever_clock_has_moved(
    stack: LocalStack, bucket: TemplatesBucket, name: str
) -> None:
    """The monotonic clock of a frozen execution environment may stand still; the wall clock may be set back."""
    clock, timer = Clock(), Clock()
    templates = Templates(bucket=stack.templates_bucket, clock=clock, timer=timer)
    for moved, other in ((clock, timer), (timer, clock)):
        push(bucket, name, FIRST)
        moved.now += KEEP_SECONDS
        templates.get(name)
        second = push(bucket, name, SECOND)
        moved.now += KEEP_SECONDS
        other.now -= 1
        assert templates.get(name).revision == second


def test_a_warm_sandbox_goes_on_with_what_it_has_while_s3_is_away(
    stack: LocalStack, bucket: TemplatesBucket, clock: Clock, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(bucket, name, FIRST)
    warm = Templates(bucket=stack.templates_bucket, clock=clock)
    kept = warm.get(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("chalicelib.aws.CONFIG", None)
    del warm.__dict__["_client"]  # as after a connection that broke
    clock.now += KEEP_SECONDS
    assert warm.get(name) is kept
    with pytest.raises(TemplateStoreError, match=f"template {name}: S3 did not answer"):
        Templates(bucket=stack.templates_bucket).get(name)


@pytest.mark.parametrize("pointer", [b"", b"[]", b'{"revision": 5}', b'{"revision": "../../x"}'])
def test_a_pointer_that_is_none_is_refused_until_a_push_mends_it(
    stack: LocalStack, bucket: TemplatesBucket, templates: Templates, name: str, pointer: bytes
) -> None:
    boto3.client("s3").put_object(Bucket=stack.templates_bucket, Key=pointer_key(name), Body=pointer)
    with pytest.raises(TemplateError, match="push the template again"):
        templates.get(name)
    revision = push(bucket, name, FIRST)
    assert templates.get(name).revision == revision


def test_a_template_that_cannot_be_one_leaves_the_bucket_as_it_was(
    bucket: TemplatesBucket, templates: Templates, name: str
) -> None:
    revision = push(bucket, name, FIRST)
    with pytest.raises(TemplateError):
        push(bucket, name, {"pass.json": b"no JSON"})
    assert templates.get(name).revision == revision


def test_pushing_the_same_again_changes_nothing(bucket: TemplatesBucket, name: str) -> None:
    first = bucket.push(name, FIRST, uploaded=lambda _: None)
    assert not first.unchanged
    assert bucket.push(name, FIRST, uploaded=lambda _: None).unchanged


def test_a_revision_that_was_current_before_can_be_so_again(
    bucket: TemplatesBucket, templates: Templates, clock: Clock, name: str
) -> None:
    for files in (FIRST, SECOND, FIRST):
        revision = push(bucket, name, files)
        clock.now += KEEP_SECONDS
        assert templates.get(name).revision == revision


def test_what_was_pushed_is_pulled_and_listed(bucket: TemplatesBucket, name: str, tmp_path: Path) -> None:
    revision = push(bucket, name, {**FIRST, "de.lproj/pass.strings": b'"a" = "b";'})
    (listed,) = (template for template in bucket.list() if template.name == name)
    assert listed.revision == revision
    assert read_folder(bucket.pull(name, tmp_path)) == {**FIRST, "de.lproj/pass.strings": b'"a" = "b";'}
    with pytest.raises(PullError, match="is there already"):
        bucket.pull(name, tmp_path)
    with pytest.raises(PullError, match="was never pushed"):
        bucket.pull(f"{name}x", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.pass"]


def test_an_object_whose_paths_lead_out_of_its_folder_is_neither_pulled_nor_used(
    stack: LocalStack, bucket: TemplatesBucket, templates: Templates, name: str, tmp_path: Path
) -> None:
    revision = push(bucket, name, FIRST)
    key = template_store.revision_key(name, revision)
    evil = pack({**FIRST, "../evil.txt": b"evil"})
    boto3.client("s3").put_object(Bucket=stack.templates_bucket, Key=key, Body=evil)
    with pytest.raises(TemplateError, match="is no path within a folder"):
        bucket.pull(name, tmp_path)
    with pytest.raises(TemplateError, match="is no path within a folder"):
        templates.get(name)
    assert list(tmp_path.rglob("*.txt")) == []


def test_a_revisions_object_is_the_same_bytes_for_the_same_files() -> None:
    assert pack(FIRST) == pack(dict(reversed(FIRST.items())))
    assert unpack("x", pack(FIRST)) == FIRST
    with pytest.raises(TemplateError, match="cannot be read"):
        unpack("x", pack(FIRST)[:-40])


def test_a_hidden_file_is_no_part_of_a_template(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    (tmp_path / "pass.json").write_text("{}")
    assert read_folder(tmp_path) == {"pass.json": b"{}"}
    assert PACKAGED.is_dir()
