"""Tests of download links of a stage."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import LinkLifetimeError, LinkSizeError, read_link
from infra.operate.passes.links import Links
from infra.stage.stage import Stage

KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
PASS = PassId("pass.com.acme", "1")


class CountedSecrets:
    """The secrets of a stage, and how often its keys were read."""

    reads = 0

    def authentication_keys(self) -> AuthenticationKeys:
        self.reads += 1
        return KEYS


@pytest.fixture
def secrets() -> CountedSecrets:
    return CountedSecrets()


@pytest.fixture
def links(secrets: CountedSecrets) -> Links:
    return Links(cast("Stage", SimpleNamespace(web_service_url="https://a.example/api", secrets=secrets)))


def test_link_grants_its_passes_until_it_expires(links: Links) -> None:
    other = PassId("pass.com.acme", "2")
    link = links.make([PASS, other], lifetime=timedelta(hours=2))
    address, _, token = link.url.rpartition("/")
    assert address == "https://a.example/api/p"
    granted = read_link(KEYS, token, now=datetime.now(UTC).timestamp())
    assert granted.pass_ids == (PASS, other)
    assert granted.expires_at == link.expires_at.timestamp()
    assert (
        timedelta(hours=2) - timedelta(minutes=2) < link.expires_at - datetime.now(UTC) <= timedelta(hours=2, minutes=2)
    )


def test_keys_are_read_once_for_many_links(links: Links, secrets: CountedSecrets) -> None:
    sign = links.signer(lifetime=timedelta(days=1))
    assert len({sign([PassId("pass.com.acme", str(number))]).url for number in range(5)}) == 5
    assert secrets.reads == 1


def test_lifetime_and_size_are_limited(links: Links) -> None:
    with pytest.raises(LinkLifetimeError):
        links.make([PASS], lifetime=timedelta(0))
    with pytest.raises(LinkSizeError):
        links.make([], lifetime=timedelta(hours=1))
