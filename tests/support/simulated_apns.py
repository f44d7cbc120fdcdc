"""An APNs stand-in for tests: sets faults and answers, reads the received pushes, and makes clients for it."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx

from chalicelib.apns.client import Client
from chalicelib.apns.credentials import ClientCertificate, Credential, ProviderToken
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.core.identifiers import PushToken
from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, DevelopmentChain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER

PATIENCE_SECONDS = 20.0
DELIVERED = (200, None)
"""The status and reason of a push that APNs accepted."""


class ApnsForTests:
    """A running APNs stand-in and its certificates."""

    def __init__(self, simulator: ApnsStandIn, chain: DevelopmentChain) -> None:
        self.url = simulator.apns_url
        self.control_url = simulator.control_url
        self.chain = chain
        self._control = httpx.Client(base_url=simulator.control_url)
        self._programmed: set[str] = set()

    @classmethod
    def start(cls, chain: DevelopmentChain) -> "tuple[ApnsForTests, ApnsStandIn]":
        simulator = ApnsStandIn.start(
            certificate=chain.apns_server_certificate,
            private_key=chain.apns_server_key,
            client_ca=chain.intermediate,
            provider_keys={KEY_ID: chain.provider_public_key},
        )
        return cls(simulator, chain), simulator

    def suffers(self, **faults: object) -> None:
        """Set faults until `recovers` or other faults."""
        self._control.put("/faults", json=faults).raise_for_status()

    def recovers(self) -> None:
        """Remove all faults and programmed answers."""
        self._control.delete("/faults").raise_for_status()
        while self._programmed:
            self._control.delete(f"/tokens/{self._programmed.pop()}").raise_for_status()

    def answers(self, push: Push, **answer: object) -> None:
        """Program the answer to the pushes to one device."""
        self._programmed.add(push.push_token.value)
        self._control.put(f"/tokens/{push.push_token.value}", json=answer).raise_for_status()

    def forgets(self) -> None:
        self._control.delete("/pushes").raise_for_status()

    def pushes(self) -> list[dict[str, Any]]:
        pushes: list[dict[str, Any]] = self._control.get("/pushes").json()
        return pushes

    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = self._control.get("/summary").json()
        return summary

    def provider_token(self) -> ProviderToken:
        return ProviderToken(
            team_identifier=TEAM_IDENTIFIER, key_id=KEY_ID, private_key=self.chain.provider_key.read_text()
        )

    def certificate(self) -> ClientCertificate:
        return ClientCertificate(
            certificate=self.chain.pass_type_certificate.read_text(), private_key=self.chain.pass_type_key.read_text()
        )

    def client(self, credential: Credential | None = None, **options: Any) -> Client:  # noqa: ANN401 - Client's own
        """Make a push client of this service, by default with the pass type certificate."""
        return Client(
            url=self.url,
            credential=credential or self.certificate(),
            ca=self.chain.root.read_text(),
            # a folder without roots: to read those of the system takes 20 ms
            **{"roots_folder": str(self.chain.root.parent), **options},
        )


def pushes(count: int, *, topic: str = PASS_TYPE_IDENTIFIER) -> list[Push]:
    """Make `count` pushes, each to another device."""
    return [Push(PushToken(f"{number:064x}"), topic) for number in range(count)]


def send(client: Client, what: Iterable[Push], *, seconds: float = PATIENCE_SECONDS) -> list[Outcome]:
    """Push, and check that each push has exactly one outcome."""
    due = list(what)
    outcomes = list(client.push(due, deadline=time.monotonic() + seconds))
    assert Counter(outcome.push for outcome in outcomes) == Counter(due)
    return outcomes


def reasons(outcomes: Iterable[Outcome]) -> Counter[tuple[int | None, str | None]]:
    """Count the outcomes by status and reason."""
    return Counter((outcome.status, outcome.reason) for outcome in outcomes)


def delivered(outcomes: Iterable[Outcome]) -> int:
    """Count the pushes that APNs accepted."""
    return reasons(outcomes)[DELIVERED]
