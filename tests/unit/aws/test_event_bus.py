"""The bus: requests within EventBridge's limits, and every event that was not accepted is returned with its code."""

import json
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.aws.event_bus import EventBus
from chalicelib.updates.events import Event


class Bridge:
    """EventBridge, which refuses entries whose detail contains a text, or every request."""

    def __init__(self, *, refuses: str = "(nothing)", error: Exception | None = None) -> None:
        self._refuses, self._error = refuses, error
        self.accepted: list[list[dict[str, Any]]] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - botocore's name
        if self._error is not None:
            raise self._error
        assert len(Entries) <= 10
        assert sum(len(entry["Detail"].encode()) for entry in Entries) <= 256 * 1024
        self.accepted.append([entry for entry in Entries if self._refuses not in entry["Detail"]])
        results: list[dict[str, str]] = [
            {"ErrorCode": "InternalFailure"} if self._refuses in entry["Detail"] else {"EventId": "1"}
            for entry in Entries
        ]
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}


def events(count: int, *, size: int = 10) -> list[Event]:
    return [Event("pass.registered", 1_700_000_000.0, {"n": n, "text": "x" * size}) for n in range(count)]


def test_events_are_sent_in_their_order_in_requests_of_ten() -> None:
    bridge = Bridge()
    assert EventBus("bus", client=bridge).put(events(25)) == []
    assert [len(batch) for batch in bridge.accepted] == [10, 10, 5]
    sent = [entry for batch in bridge.accepted for entry in batch]
    assert [json.loads(entry["Detail"])["n"] for entry in sent] == list(range(25))
    assert {(e["EventBusName"], e["Source"], e["DetailType"]) for e in sent} == {("bus", "passwire", "pass.registered")}


def test_large_events_are_sent_in_smaller_requests() -> None:
    bridge = Bridge()
    assert EventBus("bus", client=bridge).put(events(6, size=100_000)) == []
    assert [len(batch) for batch in bridge.accepted] == [2, 2, 2]


def test_refused_entries_are_returned_with_their_code() -> None:
    some = events(3)
    assert EventBus("bus", client=Bridge(refuses='"n":1')).put(some) == [(some[1], "InternalFailure")]


def test_refused_requests_return_all_their_events() -> None:
    some = events(2)
    gone = ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "PutEvents")
    assert EventBus("bus", client=Bridge(error=gone)).put(some) == [(e, "ResourceNotFoundException") for e in some]
    away = EndpointConnectionError(endpoint_url="https://events.example")
    assert EventBus("bus", client=Bridge(error=away)).put(some) == [(e, "EndpointConnectionError") for e in some]
