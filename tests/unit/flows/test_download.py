"""Tests of downloads: authorization, conditions, validators, and the token in the pass."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from jsonschema_rs import Draft202012Validator

from chalicelib.aws.clocks import Clocks
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.download import Download, Downloader
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.events import Event
from chalicelib.updates.fan_outs import FanOutProgress
from tests.schedules.memory import Memory

KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
PASS = PassId("pass.com.example", "P")
OWN_TOKEN = "own-token-of-the-pass"
DERIVED_TOKEN = KEYS.issue(PASS, item_token=None).value
NOW = 1_800_000_000.0


class Service:
    """A downloader over tables in memory; the built pass names what it was built from."""

    def __init__(self) -> None:
        self.rows = Memory()
        self.failures: list[Exception] = []
        self.seconds = 0.0
        self.recent = RecentVersions(Clocks(clock=lambda: NOW + self.seconds, timer=lambda: self.seconds))
        self.publish: Callable[[Event], object] | None = None

    def has_item(self, **attributes: object) -> None:
        self.rows.items[PASS] = {"pass_id": str(PASS), "template": "t", **attributes}

    def is_widely_held(self) -> None:
        self.rows.fan_outs[PASS] = FanOutProgress(int(NOW), "", "", "", int(NOW), done=True)

    def is_stamped(self, at: float) -> None:
        self.rows.store().versions.stamp_at(PASS, now=int(at), changes=2, deleted=False)

    def downloads(self, token: str = DERIVED_TOKEN, conditions: Conditions | None = None) -> Download:
        builder = cast("PassBuilder", SimpleNamespace(build=self._build))
        failures = cast("FailedDownloads", SimpleNamespace(note=self._note))
        store = self.rows.store()
        downloader = Downloader(
            store, KEYS, builder, failures, window_seconds=25, recent=self.recent, publish=self.publish
        )
        return downloader.download(
            pass_id=PASS,
            authorization=f"ApplePass {token}",
            conditions=conditions or Conditions(),
            web_service_url="https://a.example",
            now=NOW,
        )

    def _build(
        self, item: PassItem, *, personalized: bool, authentication_token: AuthenticationToken, **_: object
    ) -> bytes:
        return f"{item.fields} {personalized} {authentication_token.value}".encode()

    def _note(self, _: PassId, error: Exception, **__: object) -> None:
        self.failures.append(error)


@pytest.fixture
def service() -> Service:
    service = Service()
    service.has_item(authentication_token=OWN_TOKEN)
    return service


@pytest.mark.parametrize("token", [OWN_TOKEN, DERIVED_TOKEN])
def test_pass_contains_the_presented_token(service: Service, token: str) -> None:
    pkpass = service.downloads(token).pkpass
    assert pkpass is not None
    assert token.encode() in pkpass


@pytest.mark.parametrize("token", [OWN_TOKEN, DERIVED_TOKEN])
def test_unchanged_pass_is_not_sent_again(service: Service, token: str) -> None:
    service.is_stamped(NOW - 100)
    first = service.downloads(token).validators
    for conditions in (
        Conditions(if_modified_since=first.last_modified),
        Conditions(if_none_match=first.etag),
    ):
        again = service.downloads(token, conditions)
        assert (again.pkpass, again.validators) == (None, first)


def test_changed_pass_is_sent_again(service: Service) -> None:
    service.is_stamped(NOW - 100)
    first = service.downloads().validators
    service.is_stamped(NOW - 50)
    assert service.downloads(conditions=Conditions(if_modified_since=first.last_modified)).pkpass is not None


def test_pass_without_stamp_is_older_than_any_later_stamp(service: Service) -> None:
    first = service.downloads().validators
    service.is_stamped(NOW - 20)  # a stamp that was being written during the download
    assert service.downloads(conditions=Conditions(if_modified_since=first.last_modified)).pkpass is not None


@pytest.mark.parametrize("token", ["x" * 32, "short"])
def test_wrong_token_is_unauthorized_and_not_a_failure(service: Service, token: str) -> None:
    service.is_stamped(NOW - 100)
    with pytest.raises(UnauthorizedError):
        service.downloads(token)
    assert service.failures == []


@pytest.mark.parametrize("token", [OWN_TOKEN, DERIVED_TOKEN])
def test_deleted_pass_is_unauthorized_even_if_not_modified(service: Service, token: str) -> None:
    service.is_stamped(NOW - 100)
    etag = service.downloads(token).validators.etag
    del service.rows.items[PASS]
    for conditions in (Conditions(), Conditions(if_none_match=etag)):
        with pytest.raises(UnauthorizedError):
            service.downloads(token, conditions)
    assert service.failures == []


def test_invalid_item_is_refused_and_noted_as_a_failure(service: Service) -> None:
    service.has_item(fields="not a map")
    with pytest.raises(ItemError) as refused:
        service.downloads()
    assert service.failures == [refused.value]


def test_personalized_pass_is_built_as_personalized(service: Service) -> None:
    service.rows.personalized.add(PASS)
    assert b" True " in (service.downloads().pkpass or b"")


@pytest.mark.parametrize("token", [OWN_TOKEN, DERIVED_TOKEN])
def test_widely_held_pass_is_sent_for_a_second_without_a_read(service: Service, token: str) -> None:
    service.is_stamped(NOW - 100)
    service.is_widely_held()
    first = service.downloads(token)
    service.has_item(fields={"gate": "B22"}, authentication_token=OWN_TOKEN)
    service.seconds = 0.9
    assert service.downloads(token) == first
    service.seconds = 1.1
    assert service.downloads(token).pkpass != first.pkpass


def test_pass_on_few_devices_is_read_for_each_download(service: Service) -> None:
    service.is_stamped(NOW - 100)
    first = service.downloads()
    service.has_item(fields={"gate": "B22"})
    assert service.downloads().pkpass != first.pkpass


def test_recent_version_never_answers_not_modified(service: Service) -> None:
    service.is_stamped(NOW - 100)
    service.is_widely_held()
    first = service.downloads().validators
    service.is_stamped(NOW - 50)
    again = service.downloads(conditions=Conditions(if_modified_since=first.last_modified))
    assert again.pkpass is not None
    assert again.validators != first


def test_recent_pass_is_not_sent_with_another_token(service: Service) -> None:
    service.is_stamped(NOW - 100)
    service.is_widely_held()
    service.downloads()
    with pytest.raises(UnauthorizedError):
        service.downloads("x" * 32)


def test_download_is_an_event_if_the_stage_wants_it(service: Service) -> None:
    published: list[Event] = []
    service.publish = published.append
    service.is_stamped(NOW - 100)
    first = service.downloads().validators
    service.downloads(conditions=Conditions(if_none_match=first.etag))
    with pytest.raises(UnauthorizedError):
        service.downloads("0" * 32)
    assert [(event.name, event.detail["modified"]) for event in published] == [
        ("pass.downloaded", True),
        ("pass.downloaded", False),
    ]
    schema = Path(__file__).parents[3] / "docs" / "reference" / "events" / "pass.downloaded.json"
    for event in published:
        Draft202012Validator(json.loads(schema.read_text())).validate(json.loads(event.encode()))
        assert DERIVED_TOKEN not in event.encode()


@pytest.mark.parametrize("answer", [RuntimeError("away"), ["refused"]])
def test_event_that_is_not_sent_fails_no_download(
    service: Service, answer: object, capsys: pytest.CaptureFixture[str]
) -> None:
    def publish(_: Event) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    service.publish = publish
    assert service.downloads().pkpass
    assert "download_not_published" in capsys.readouterr().out
