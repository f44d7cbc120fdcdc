"""Tests of rechecks after downloads that the service failed to answer, with tables in memory."""

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chalicelib.aws.images import ImageMissingError
from chalicelib.aws.queue import Queue, QueueError
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.connection import StoreError
from chalicelib.aws.templates import TemplateMissingError, TemplateStoreError
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import ConfigurationError, PasswireError
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import Link, sign_link
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.download import Downloader
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.open_link import LinkOpener
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.template import Template
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.push_tasks import PushTask, Recheck, RecheckReason
from tests.schedules.memory import Memory

PASS = PassId("pass.com.example", "P")
NOW = 1_800_000_000.0
KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
TEMPLATE = Template.parse("t", {"pass.json": b'{"generic": {"primaryFields": [{"key": "gate", "value": "?"}]}}'})
OWN_TOKEN = "0" * 32
IMAGE = "a1" * 32


class Away:
    """A table that does not answer."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def request(*_: object, **__: object) -> object:
            raise StoreError(f"DynamoDB: {name} failed with no answer")

        return request


class Api:
    """One or several execution environments over the same tables and the same queue."""

    def __init__(self) -> None:
        self.now = NOW
        self.rows = Memory()
        self.rows.items[PASS] = {"pass_id": str(PASS), "template": "t"}
        self.rows.store().versions.stamp_at(PASS, now=int(NOW) - 500, changes=2, deleted=False)
        self.sent: list[tuple[PushTask, int]] = []
        self.making: Exception | None = ConfigurationError("the certificate has ended")
        self.template: Template | Exception = TEMPLATE
        self.missing_images: set[str] = set()
        self.queue_fails = self.dynamodb_is_away = False
        self.new_environment()

    def new_environment(self) -> None:
        queue = cast("Queue", SimpleNamespace(send=self._send))
        templates, images = SimpleNamespace(get=self._template), SimpleNamespace(validate_exist=self._require)
        builder = cast("PassBuilder", SimpleNamespace(build=self._make, templates=templates, images=images))
        store = self.rows.store()
        if self.dynamodb_is_away:
            away = cast("Any", Away())
            store = Store(away, away, away, away, away, away)
        failures = FailedDownloads(store, lambda: queue, builder, clock=lambda: self.now)
        self.downloader = Downloader(store, KEYS, builder, failures, window_seconds=25)
        self.opener = LinkOpener(store, KEYS, builder, failures, window_seconds=25)

    def downloads(self, token: str | None = None) -> None:
        """Downloads the pass, by default with its derived token."""
        self.downloader.download(
            pass_id=PASS,
            authorization=f"ApplePass {token or KEYS.issue(PASS, item_token=None).value}",
            conditions=Conditions(),
            web_service_url="https://a.example",
            now=self.now,
        )

    def fails_to_download(self, token: str | None = None) -> None:
        with pytest.raises(PasswireError):
            self.downloads(token)

    def opens_a_link(self) -> None:
        token = sign_link(KEYS, Link((PASS,), int(NOW) + 3600))
        self.opener.open(token=token, number=None, web_service_url="https://a.example", now=self.now, asked_for="pass")

    @property
    def rechecks(self) -> list[Recheck]:
        return [task for task, _ in self.sent if isinstance(task, Recheck)]

    def _make(self, item: PassItem, **_: object) -> bytes:
        assert item.pass_id == PASS
        if self.making is not None:
            raise self.making
        return b"pass"

    def _template(self, _: str, *, max_age_seconds: float) -> Template:
        assert max_age_seconds == 0
        if isinstance(self.template, Exception):
            raise self.template
        return self.template

    def _require(self, keys: Iterable[str]) -> None:
        for key in self.missing_images.intersection(keys):
            raise ImageMissingError(f"image {key}: this stage does not have it")

    def _send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0) -> None:
        assert until == 0
        if self.queue_fails:
            raise QueueError("SQS does not answer")
        self.sent += [(task, delay_seconds) for task in tasks]


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("the certificate has ended"),
        TemplateStoreError("S3 does not answer"),
        RecursionError("unforeseen"),
        KeyError("unforeseen"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failed_download_requests_a_recheck(api: Api, error: Exception) -> None:
    """The caller gets the original error."""
    api.making = error
    with pytest.raises(type(error)) as raised:
        api.downloads()
    assert raised.value is error
    assert api.sent == [(Recheck(PASS, RecheckReason.DOWNLOAD, NOW), 60)]


def test_failed_download_link_requests_a_recheck(api: Api) -> None:
    with pytest.raises(ConfigurationError):
        api.opens_a_link()
    assert [task.pass_id for task in api.rechecks] == [PASS]


def test_successful_download_requests_no_recheck(api: Api) -> None:
    api.making = None
    api.downloads()
    api.opens_a_link()
    assert api.sent == []


@pytest.mark.parametrize("dynamodb_is_away", [False, True], ids=["", "DynamoDB is away"])
def test_unauthorized_download_requests_no_recheck(api: Api, *, dynamodb_is_away: bool) -> None:
    api.dynamodb_is_away = dynamodb_is_away
    api.new_environment()
    for token in ("wrong" * 8, OWN_TOKEN, KEYS.issue(PassId("pass.com.example", "Q"), item_token=None).value):
        with pytest.raises((UnauthorizedError, StoreError)):
            api.downloads(token)
    assert api.sent == []
    assert api.rows.requests == {}


def test_derived_token_authorizes_a_recheck_while_dynamodb_is_unavailable(api: Api) -> None:
    api.dynamodb_is_away = True
    api.new_environment()
    api.fails_to_download()
    with pytest.raises(StoreError):
        api.opens_a_link()
    assert [task.reason for task in api.rechecks] == [RecheckReason.DOWNLOAD]


def test_failed_downloads_of_a_pass_request_one_recheck_across_environments(api: Api) -> None:
    for _ in range(3):
        api.new_environment()
        for _ in range(10):
            api.now += 1
            api.fails_to_download()
    assert len(api.rechecks) == 1


def test_each_environment_requests_one_recheck_per_delay_without_dynamodb(api: Api) -> None:
    api.dynamodb_is_away = True
    api.new_environment()
    for _ in range(50):
        api.now += 1
        api.fails_to_download()
    assert len(api.rechecks) == 1
    api.now += 10
    api.fails_to_download()
    assert len(api.rechecks) == 2


def test_failure_after_the_next_stamp_requests_another_recheck(api: Api) -> None:
    """The first recheck may have run before this device received its tag."""
    api.fails_to_download()
    api.now += 120
    api.fails_to_download()
    assert len(api.rechecks) == 1
    api.rows.store().versions.stamp_at(PASS, now=int(api.now), changes=1, deleted=False)
    api.fails_to_download()
    assert len(api.rechecks) == 2


def test_recheck_that_may_be_lost_is_requested_again(api: Api) -> None:
    api.fails_to_download()
    api.now += 901
    api.fails_to_download()
    assert len(api.rechecks) == 2


def test_next_failure_requests_the_recheck_that_sqs_did_not_accept(api: Api) -> None:
    api.queue_fails = True
    api.fails_to_download()
    api.queue_fails = False
    api.fails_to_download()
    assert len(api.rechecks) == 1


def test_environment_remembers_a_limited_number_of_passes(api: Api) -> None:
    """The oldest are removed first; they request another recheck."""
    failures = api.downloader.failures
    passes = [PassId("pass.com.example", str(number)) for number in range(5000)]
    for pass_id in (*passes, *passes[-4096:]):
        failures.note(pass_id, StoreError("DynamoDB does not answer"), state=None)
    assert len(api.rechecks) == 5000
    failures.note(passes[0], StoreError("DynamoDB does not answer"), state=None)
    assert len(api.rechecks) == 5001


def test_refused_item_is_recorded_and_rechecked_if_its_template_is_repaired(api: Api) -> None:
    """The template was broken after the item was stamped, so the stream handler recorded no refusal."""
    api.making = ItemError(PASS, "fields.gate", "template 't' has no such field")
    api.template = TemplateMissingError("template 't' does not exist")
    api.fails_to_download()
    refusal = api.rows.refusals[PASS]
    assert (refusal.reason, refusal.template) == (str(api.making), "t")
    assert api.sent == []


@pytest.mark.parametrize(
    "template", [TEMPLATE, TemplateStoreError("S3 does not answer")], ids=["repaired", "cannot be said"]
)
def test_template_repaired_during_a_refused_download_is_noticed(api: Api, template: Template | Exception) -> None:
    """The refusal is written before the template is read again, so either side notices the repair."""
    api.making = ItemError(PASS, "fields.gate", "template 't' has no such field")
    api.template = template
    api.fails_to_download()
    assert PASS in api.rows.refusals
    assert len(api.rechecks) == 1


def test_invalid_item_is_recorded_without_a_recheck(api: Api) -> None:
    api.rows.items[PASS]["fields"] = "not a map"
    api.fails_to_download()
    assert "must be a map" in api.rows.refusals[PASS].reason
    assert api.sent == []


def test_an_item_against_apples_format_whose_template_was_repaired_is_looked_at_again(api: Api) -> None:
    """It was accepted before the format was checked, so nothing but the template was in its way."""
    api.rows.items[PASS]["overrides"] = {"backgroundColor": "Black"}
    api.making = ItemError(PASS, "fields.gate", "template 't' has no such field")
    api.fails_to_download()
    assert [task.reason for task in api.rechecks] == [RecheckReason.DOWNLOAD]


@pytest.mark.parametrize("uploaded", [True, False])
def test_a_missing_image_that_was_uploaded_meanwhile_has_the_pass_looked_at_again(api: Api, *, uploaded: bool) -> None:
    api.rows.items[PASS]["images"] = {"thumbnail": IMAGE}
    api.making = ImageMissingError(f"image {IMAGE}: this stage does not have it")
    api.missing_images = set() if uploaded else {IMAGE}
    api.fails_to_download()
    assert len(api.rechecks) == int(uploaded)
    assert PASS in api.rows.refusals
