"""Tests of opening download links."""

from types import SimpleNamespace
from typing import cast

import pytest

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.core.links import Link, LinkError, LinkExpiredError, sign_link
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.open_link import LinkOpener, OpenedLink
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from tests.schedules.memory import Memory

KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
PASS = PassId("pass.com.example", "P")
NOW = 1_800_000_000.0
LINK = sign_link(KEYS, Link((PASS,), int(NOW) + 3600))


class Service:
    """A link opener over tables in memory; the built pass names its token."""

    def __init__(self) -> None:
        self.rows = Memory()
        self.rows.items[PASS] = {"pass_id": str(PASS), "template": "t"}
        self.failures: list[Exception] = []

    def opens(self, token: str = LINK, *, now: float = NOW, number: int | None = None) -> OpenedLink:
        builder = cast("PassBuilder", SimpleNamespace(build=self._build))
        failures = cast("FailedDownloads", SimpleNamespace(note=self._note))
        return LinkOpener(self.rows.store(), KEYS, builder, failures, window_seconds=25).open(
            token=token, number=number, web_service_url="https://a.example", now=now, asked_for="pass"
        )

    def _build(self, _: PassItem, *, authentication_token: AuthenticationToken, **__: object) -> bytes:
        return bytes(authentication_token.value, "ascii")

    def _note(self, _: PassId, error: Exception, **__: object) -> None:
        self.failures.append(error)


@pytest.fixture
def service() -> Service:
    return Service()


def test_pass_has_its_derived_token(service: Service) -> None:
    assert service.opens().passes[0].pkpass.decode() == KEYS.issue(PASS, item_token=None).value


def test_pass_has_the_token_of_its_item(service: Service) -> None:
    service.rows.items[PASS]["authentication_token"] = "own-token-of-the-pass"
    assert service.opens().passes[0].pkpass == b"own-token-of-the-pass"


def test_validators_are_those_of_the_stamp(service: Service) -> None:
    service.rows.store().versions.stamp_at(PASS, now=int(NOW) - 100, changes=2, deleted=False)
    assert service.opens().passes[0].validators.etag == f'W/"{int(NOW) - 100}-2"'


@pytest.mark.parametrize("token", ["", "x", LINK + "x", LINK[:-2]])
def test_invalid_link_is_refused_and_not_a_failure(service: Service, token: str) -> None:
    with pytest.raises(LinkError):
        service.opens(token)
    assert service.failures == []


def test_expired_link_has_ended(service: Service) -> None:
    with pytest.raises(LinkExpiredError):
        service.opens(now=NOW + 3601)
    assert service.failures == []


def test_link_of_a_deleted_pass_has_ended(service: Service) -> None:
    service.rows.items.clear()
    with pytest.raises(LinkExpiredError, match=f"pass {PASS} was deleted"):
        service.opens()
    assert service.failures == []


def test_invalid_item_is_refused_and_noted_as_a_failure(service: Service) -> None:
    service.rows.items[PASS]["fields"] = "not a map"
    with pytest.raises(ItemError) as refused:
        service.opens()
    assert service.failures == [refused.value]


OTHER = PassId("pass.com.example", "Q")
BOTH = sign_link(KEYS, Link((PASS, OTHER), int(NOW) + 3600))


def test_link_of_several_passes_opens_all_or_the_one_of_a_number(service: Service) -> None:
    service.rows.items[OTHER] = {"pass_id": str(OTHER), "template": "t"}
    assert [linked.number for linked in service.opens(BOTH).passes] == [1, 2]
    second = service.opens(BOTH, number=2).passes
    assert [(linked.number, linked.pkpass.decode()) for linked in second] == [
        (2, KEYS.issue(OTHER, item_token=None).value)
    ]
    for number in (0, 3):
        with pytest.raises(LinkError):
            service.opens(BOTH, number=number)


def test_deleted_or_invalid_pass_is_left_out_while_another_remains(service: Service) -> None:
    assert [linked.number for linked in service.opens(BOTH).passes] == [1]
    assert service.failures == []
    service.rows.items[OTHER] = {"pass_id": str(OTHER), "fields": "not a map"}
    assert [linked.number for linked in service.opens(BOTH).passes] == [1]
    assert [type(error) for error in service.failures] == [ItemError]
    service.rows.items.clear()
    with pytest.raises(LinkExpiredError):
        service.opens(BOTH)
