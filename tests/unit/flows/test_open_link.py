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
from chalicelib.passes.item import ItemError, PassItem
from tests.schedules.memory import Memory

KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
PASS = PassId("pass.com.example", "P")
NOW = 1_800_000_000.0
LINK = sign_link(KEYS, Link(PASS, int(NOW) + 3600))


class Service:
    """A link opener over tables in memory; the built pass names its token."""

    def __init__(self) -> None:
        self.rows = Memory()
        self.rows.items[PASS] = {"pass_id": str(PASS), "template": "t"}
        self.failures: list[Exception] = []

    def opens(self, token: str = LINK, *, now: float = NOW) -> OpenedLink:
        builder = cast("PassBuilder", SimpleNamespace(build=self._build))
        failures = cast("FailedDownloads", SimpleNamespace(note=self._note))
        return LinkOpener(self.rows.store(), KEYS, builder, failures, window_seconds=25).open(
            token=token, web_service_url="https://a.example", now=now, asked_for="pass"
        )

    def _build(self, _: PassItem, *, authentication_token: AuthenticationToken, **__: object) -> bytes:
        return bytes(authentication_token.value, "ascii")

    def _note(self, _: PassId, error: Exception, **__: object) -> None:
        self.failures.append(error)


@pytest.fixture
def service() -> Service:
    return Service()


def test_pass_has_its_derived_token(service: Service) -> None:
    assert service.opens().pkpass.decode() == KEYS.issue(PASS, item_token=None).value


def test_pass_has_the_token_of_its_item(service: Service) -> None:
    service.rows.items[PASS]["authentication_token"] = "own-token-of-the-pass"
    assert service.opens().pkpass == b"own-token-of-the-pass"


def test_validators_are_those_of_the_stamp(service: Service) -> None:
    service.rows.store().versions.stamp_at(PASS, now=int(NOW) - 100, changes=2, deleted=False)
    assert service.opens().validators.etag == f'W/"{int(NOW) - 100}-2"'


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
