"""What follows a download that fails on our side: one recheck, for those who may have the pass. Tables in memory."""

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
from chalicelib.passes.item import ItemError, PassItem
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
        templates, images = SimpleNamespace(get=self._template), SimpleNamespace(require=self._require)
        builder = cast("PassBuilder", SimpleNamespace(build=self._make, templates=templates, images=images))
        store = self.rows.store()
        if self.dynamodb_is_away:
            away = cast("Any", Away())
            store = Store(away, away, away, away)
        failures = FailedDownloads(store, lambda: queue, builder, clock=lambda: self.now)
        self.downloader = Downloader(store, KEYS, builder, failures, window_seconds=25)
        self.opener = LinkOpener(store, KEYS, builder, failures, window_seconds=25)

    def downloads(self, token: str | None = None) -> None:
        """A phone, by default with the token that is derived for the pass."""
        self.downloader.download(
            pass_id=PASS,
            authorization=f"ApplePass {token or KEYS.issue(PASS, own=None).value}",
            conditions=Conditions(),
            web_service_url="https://a.example",
            now=self.now,
        )

    def fails_to_download(self, token: str | None = None) -> None:
        with pytest.raises(PasswireError):
            self.downloads(token)

    def opens_a_link(self) -> None:
        token = sign_link(KEYS, Link(PASS, int(NOW) + 3600))
        self.opener.open(token=token, web_service_url="https://a.example", now=self.now, asked_for="pass")

    @property
    def rechecks(self) -> list[Recheck]:
        return [order for order, _ in self.sent if isinstance(order, Recheck)]

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

    def _send(self, orders: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0) -> None:
        assert until == 0
        if self.queue_fails:
            raise QueueError("SQS does not answer")
        self.sent += [(order, delay_seconds) for order in orders]


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
def test_a_download_that_fails_on_our_side_has_the_pass_looked_at_again(api: Api, error: Exception) -> None:
    """The request fails with the error that it had."""
    api.making = error
    with pytest.raises(type(error)) as raised:
        api.downloads()
    assert raised.value is error
    assert api.sent == [(Recheck(PASS, RecheckReason.DOWNLOAD, NOW), 60)]


def test_a_link_that_fails_on_our_side_does_too(api: Api) -> None:
    with pytest.raises(ConfigurationError):
        api.opens_a_link()
    assert [task.pass_id for task in api.rechecks] == [PASS]


def test_a_download_that_is_served_asks_for_nothing(api: Api) -> None:
    api.making = None
    api.downloads()
    api.opens_a_link()
    assert api.sent == []


@pytest.mark.parametrize("dynamodb_is_away", [False, True], ids=["", "DynamoDB is away"])
def test_a_stranger_causes_nothing(api: Api, *, dynamodb_is_away: bool) -> None:
    api.dynamodb_is_away = dynamodb_is_away
    api.new_environment()
    for token in ("wrong" * 8, OWN_TOKEN, KEYS.issue(PassId("pass.com.example", "Q"), own=None).value):
        with pytest.raises((UnauthorizedError, StoreError)):
            api.downloads(token)
    assert api.sent == []
    assert api.rows.requests == {}


def test_while_dynamodb_is_away_the_derived_token_is_proof_enough(api: Api) -> None:
    api.dynamodb_is_away = True
    api.new_environment()
    api.fails_to_download()
    with pytest.raises(StoreError):
        api.opens_a_link()
    assert [task.reason for task in api.rechecks] == [RecheckReason.DOWNLOAD]


def test_failed_downloads_of_one_pass_ask_once_whichever_environment_they_meet(api: Api) -> None:
    for _ in range(3):
        api.new_environment()
        for _ in range(10):
            api.now += 1
            api.fails_to_download()
    assert len(api.rechecks) == 1


def test_without_dynamodb_each_environment_asks_once_while_its_message_waits(api: Api) -> None:
    api.dynamodb_is_away = True
    api.new_environment()
    for _ in range(50):
        api.now += 1
        api.fails_to_download()
    assert len(api.rechecks) == 1
    api.now += 10
    api.fails_to_download()
    assert len(api.rechecks) == 2


def test_a_failure_after_the_next_stamp_asks_again(api: Api) -> None:
    """The recheck that was asked for may have been carried out before this phone was told."""
    api.fails_to_download()
    api.now += 120
    api.fails_to_download()
    assert len(api.rechecks) == 1
    api.rows.store().versions.stamp_at(PASS, now=int(api.now), changes=1, deleted=False)
    api.fails_to_download()
    assert len(api.rechecks) == 2


def test_a_recheck_that_may_be_lost_is_asked_for_again(api: Api) -> None:
    api.fails_to_download()
    api.now += 901
    api.fails_to_download()
    assert len(api.rechecks) == 2


def test_what_sqs_did_not_take_is_asked_for_by_the_next_failure(api: Api) -> None:
    api.queue_fails = True
    api.fails_to_download()
    api.queue_fails = False
    api.fails_to_download()
    assert len(api.rechecks) == 1


def test_an_environment_remembers_a_bounded_number_of_passes(api: Api) -> None:
    """The oldest are forgotten first, and then ask once more."""
    failures = api.downloader.failures
    passes = [PassId("pass.com.example", str(number)) for number in range(5000)]
    for pass_id in (*passes, *passes[-4096:]):
        failures.note(pass_id, StoreError("DynamoDB does not answer"), state=None)
    assert len(api.rechecks) == 5000
    failures.note(passes[0], StoreError("DynamoDB does not answer"), state=None)
    assert len(api.rechecks) == 5001


def test_an_item_that_cannot_become_a_pass_is_recorded_and_comes_back_with_its_template(api: Api) -> None:
    """The template was broken after the item was stamped, so the stream has seen no refusal."""
    api.making = ItemError(PASS, "fields.gate", "template 't' has no such field")
    api.template = TemplateMissingError("template 't' does not exist")
    api.fails_to_download()
    refusal = api.rows.refusals[PASS]
    assert (refusal.reason, refusal.template) == (str(api.making), "t")
    assert api.sent == []


@pytest.mark.parametrize(
    "template", [TEMPLATE, TemplateStoreError("S3 does not answer")], ids=["repaired", "cannot be said"]
)
def test_a_template_that_is_repaired_while_a_download_is_refused_is_seen(
    api: Api, template: Template | Exception
) -> None:
    """The refusal is written before the template is read again, so either the repair sees it or this does."""
    api.making = ItemError(PASS, "fields.gate", "template 't' has no such field")
    api.template = template
    api.fails_to_download()
    assert PASS in api.rows.refusals
    assert len(api.rechecks) == 1


def test_an_item_that_can_never_become_a_pass_is_recorded(api: Api) -> None:
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
