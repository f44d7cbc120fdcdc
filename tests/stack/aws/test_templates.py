"""Templates in the bucket: what a warm execution environment serves, and when it sees a new revision."""

import io
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import EndpointConnectionError

from chalicelib.aws import session
from chalicelib.aws import templates as templates_module
from chalicelib.aws.templates import (
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
from chalicelib.passes.template import TemplateError
from infra.local.run import LocalRun
from infra.operate.templates.bucket import PullError, TemplatesBucket
from infra.stage.stage import Stage
from tests.support import samples
from tests.support.aws_answers import Clock

FIRST, SECOND = samples.files_of("coupon"), samples.files_of("storeCard")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bucket(stack: LocalRun) -> TemplatesBucket:
    return TemplatesBucket(Stage.open(stack.stage))


@pytest.fixture
def templates(stack: LocalRun, clock: Clock) -> Templates:
    return Templates(bucket=stack.templates_bucket, clock=clock)


@pytest.fixture
def name(bucket: TemplatesBucket) -> Iterator[str]:
    """One that no other test has; its template is deleted, because a restore of a whole stage reads every template."""
    made = f"t-{secrets.token_hex(4)}"
    yield made
    bucket.delete(made)


def push(bucket: TemplatesBucket, name: str, files: dict[str, bytes]) -> str:
    return bucket.push(name, files, on_progress=lambda _: None).revision


def test_packaged_templates_are_used_without_a_bucket() -> None:
    assert "boarding" in packaged_names()
    assert Templates().get("boarding").content["description"] == "Boarding pass"
    with pytest.raises(TemplateMissingError, match=r"'missing' does not exist; push it .*packaged: boarding"):
        Templates().get("missing")


def test_packaged_template_is_parsed_once() -> None:
    templates = Templates()
    assert templates.get("boarding") is templates.get("boarding")


def test_pushed_template_replaces_the_packaged_one_of_its_name(
    bucket: TemplatesBucket, templates: Templates, name: str
) -> None:
    with pytest.raises(TemplateMissingError):
        templates.get(name)
    revision = push(bucket, name, FIRST)
    assert templates.get(name).revision == revision
    assert templates.get("boarding").content == Templates().get("boarding").content


def test_warm_environment_uses_a_new_revision_after_keep_seconds_and_parses_each_once(
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


def test_new_revision_is_used_after_either_clock_has_moved(stack: LocalRun, bucket: TemplatesBucket, name: str) -> None:
    """The monotonic clock of a frozen execution environment may stop; the wall clock may be set back."""
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


def test_warm_environment_uses_its_cached_template_while_s3_fails(
    stack: LocalRun, bucket: TemplatesBucket, clock: Clock, name: str
) -> None:
    push(bucket, name, FIRST)
    client = session.client("s3")
    warm = Templates(bucket=stack.templates_bucket, clock=clock, client=client)
    cached = warm.get(name)
    client.meta.events.register_first("before-send.s3.GetObject", fail_to_connect)
    clock.now += KEEP_SECONDS
    assert warm.get(name) is cached
    with pytest.raises(TemplateStoreError, match=f"template {name}: S3 did not answer"):
        Templates(bucket=stack.templates_bucket, client=client).get(name)


def fail_to_connect(request: AWSPreparedRequest, **_: object) -> None:
    raise EndpointConnectionError(endpoint_url=request.url)


@pytest.mark.parametrize("pointer", [b"", b"[]", b'{"revision": 5}', b'{"revision": "../../x"}'])
def test_invalid_pointer_is_refused_until_the_next_push(
    stack: LocalRun, bucket: TemplatesBucket, templates: Templates, name: str, pointer: bytes
) -> None:
    boto3.client("s3").put_object(Bucket=stack.templates_bucket, Key=pointer_key(name), Body=pointer)
    with pytest.raises(TemplateError, match="push the template again"):
        templates.get(name)
    revision = push(bucket, name, FIRST)
    assert templates.get(name).revision == revision


def test_push_of_an_invalid_template_changes_nothing(bucket: TemplatesBucket, templates: Templates, name: str) -> None:
    revision = push(bucket, name, FIRST)
    with pytest.raises(TemplateError):
        push(bucket, name, {"pass.json": b"no JSON"})
    assert templates.get(name).revision == revision


def test_push_of_the_same_files_changes_nothing(bucket: TemplatesBucket, name: str) -> None:
    first = bucket.push(name, FIRST, on_progress=lambda _: None)
    assert not first.unchanged
    assert bucket.push(name, FIRST, on_progress=lambda _: None).unchanged


def test_earlier_revision_can_be_pushed_again(
    bucket: TemplatesBucket, templates: Templates, clock: Clock, name: str
) -> None:
    for files in (FIRST, SECOND, FIRST):
        revision = push(bucket, name, files)
        clock.now += KEEP_SECONDS
        assert templates.get(name).revision == revision


def test_pushed_template_is_listed_and_pulled(bucket: TemplatesBucket, name: str, tmp_path: Path) -> None:
    revision = push(bucket, name, {**FIRST, "de.lproj/pass.strings": b'"a" = "b";'})
    (listed,) = (template for template in bucket.list() if template.name == name)
    assert listed.revision == revision
    assert read_folder(bucket.pull(name, tmp_path)) == {**FIRST, "de.lproj/pass.strings": b'"a" = "b";'}
    with pytest.raises(PullError, match="already exists"):
        bucket.pull(name, tmp_path)
    with pytest.raises(PullError, match="was never pushed"):
        bucket.pull(f"{name}x", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.pass"]


def test_revision_with_a_path_outside_of_its_folder_is_refused(
    stack: LocalRun, bucket: TemplatesBucket, templates: Templates, name: str, tmp_path: Path
) -> None:
    revision = push(bucket, name, FIRST)
    key = templates_module.revision_key(name, revision)
    evil = pack({**FIRST, "../evil.txt": b"evil"})
    boto3.client("s3").put_object(Bucket=stack.templates_bucket, Key=key, Body=evil)
    with pytest.raises(TemplateError, match="is not a path within the folder"):
        bucket.pull(name, tmp_path)
    with pytest.raises(TemplateError, match="is not a path within the folder"):
        templates.get(name)
    assert list(tmp_path.rglob("*.txt")) == []


def test_revision_has_the_same_bytes_for_the_same_files() -> None:
    assert pack(FIRST) == pack(dict(reversed(FIRST.items())))
    assert unpack("x", pack(FIRST)) == FIRST
    with pytest.raises(TemplateError, match="cannot be read"):
        unpack("x", pack(FIRST)[:-40])


def test_hidden_files_are_left_out_of_a_template(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("x")
    (tmp_path / "pass.json").write_text("{}")
    assert read_folder(tmp_path) == {"pass.json": b"{}"}
    assert PACKAGED.is_dir()


def packed_wrongly() -> dict[str, bytes]:
    """Objects that are no template, by what is wrong with them."""
    whole = pack(FIRST)
    middle = len(whole) // 2
    lzma_packed, bomb = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(lzma_packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("pass.json", b"{}" * 1000)
    damaged = bytearray(lzma_packed.getvalue())
    damaged[60:80] = bytes(20)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pass.json", bytes(70_000_000))
    return {
        "cut": whole[:-40],
        "damaged": whole[:middle] + bytes(64) + whole[middle + 64 :],
        "lzma": bytes(damaged),
        "bomb": bomb.getvalue(),
        "nested": pack({"pass.json": b"[" * 100_000}),
        "empty": b"",
    }


@pytest.mark.parametrize("wrong", packed_wrongly())
def test_damaged_template_is_refused_with_a_remedy(
    stack: LocalRun, bucket: TemplatesBucket, templates: Templates, name: str, wrong: str
) -> None:
    """Whatever its bytes make a decompressor raise."""
    revision = push(bucket, name, FIRST)
    key = templates_module.revision_key(name, revision)
    boto3.client("s3").put_object(Bucket=stack.templates_bucket, Key=key, Body=packed_wrongly()[wrong])
    with pytest.raises(TemplateError):
        templates.get(name)


def test_max_age_0_reads_a_new_revision_at_once(bucket: TemplatesBucket, templates: Templates, name: str) -> None:
    push(bucket, name, FIRST)
    templates.get(name)
    second = push(bucket, name, SECOND)
    assert templates.get(name).revision != second
    assert templates.get(name, max_age_seconds=0.0).revision == second
