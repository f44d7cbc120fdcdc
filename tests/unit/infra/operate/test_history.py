"""Tests of the filter patterns and sentences of `pass history`."""

import pytest

from infra.operate.history import CHANGES_PER_QUERY, any_of, describe
from infra.operate.logs import phrases


def test_filter_pattern_has_the_form_and_length_that_aws_accepts() -> None:
    """The embedded AWS accepts other filter patterns, so their form is tested here."""
    assert phrases('pass.com.acme/Ä "7" x') == '"pass.com.acme/" "7" "x"'
    assert len(phrases("pass.com.acme/" + "x" * 1010)) <= 1024
    assert len(phrases("pass.com.acme/" + "x " * 500)) <= 1024
    ids = ["by-hand-6a9d0c1e-0000-4000-8000-000000000000"] * CHANGES_PER_QUERY
    assert len(any_of(ids)) <= 1024
    assert any_of(["a"]) == '{ ($.request_id = "a") || ($.changes = "*a*") }'


STAMP = {"event": "stamped", "modified_at": 1_764_000_000}
PUSH = {"event": "pushed", "device": "a1b2"}
SENTENCES: dict[str, tuple[dict[str, object], str]] = {
    "first issue": ({**STAMP, "revision": 1}, "issued: revision 1, Last-Modified 2025-11-24T16:00:00Z"),
    "change": ({**STAMP, "revision": 2}, "changed: revision 2, Last-Modified 2025-11-24T16:00:00Z"),
    "recheck": (
        {**STAMP, "revision": 2, "reason": "download"},
        "rechecked and stamped: revision 2, Last-Modified 2025-11-24T16:00:00Z",
    ),
    "deletion": ({**STAMP, "revision": 3, "deleted": True}, "deleted by a pipeline"),
    "one device": ({"event": "devices_found", "devices": 1, "shown": ["a1"]}, "1 device to notify (a1)"),
    "many devices": ({"event": "devices_found", "devices": 3, "shown": ["a1"]}, "3 devices to notify (a1, ...)"),
    "accepted push": (
        {**PUSH, "outcome": "delivered", "status": 200},
        "APNs accepted the push to device a1b2; acceptance does not mean delivery",
    ),
    "unregistered device": (
        {**PUSH, "outcome": "unregistered", "status": 410, "reason": "Unregistered"},
        "APNs reported device a1b2 as unregistered (410 Unregistered)",
    ),
    "refused credentials": (
        {**PUSH, "outcome": "configuration", "status": 403, "reason": "InvalidProviderToken"},
        "APNs refused the credentials for device a1b2 (403 InvalidProviderToken); the push is kept",
    ),
    "push without an answer": (
        {**PUSH, "outcome": "later", "reason": None},
        "the push to device a1b2 was deferred (no answer) and will be repeated",
    ),
    "counted pushes": (
        {"event": "pushes_sent", "devices": 1002, "outcomes": {"delivered": 1000, "later": 2}},
        (
            "pushed to 1002 devices of this pass type at once: 1,000 accepted by APNs, which does not mean delivered, "
            "2 deferred"
        ),
    ),
    "repeated registration": (
        {"event": "registered", "device": "a1", "first_time": False},
        "device a1 registered again",
    ),
    "full download": ({"event": "downloaded", "bytes": 10, "modified": True}, "downloaded, 10 bytes"),
    "download of the doctor": (
        {"event": "downloaded", "bytes": 10, "modified": True, "caller": "doctor"},
        "downloaded by `doctor`, not by a phone, 10 bytes",
    ),
    "unmodified download": ({"event": "downloaded", "modified": False}, "requested by a phone that has it"),
    "invalid item": (
        {"event": "pass_item_refused", "error": "no template"},
        "invalid item, no phone is notified: no template",
    ),
    "missing field": ({"event": "unregistered"}, "device ? removed the pass"),
    "unknown event": ({"event": "x", "request_id": "r", "pass_id": "p", "n": 1}, "x n=1"),
}


@pytest.mark.parametrize(("fields", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_event_is_described_in_a_sentence(fields: dict[str, object], sentence: str) -> None:
    assert describe(fields) == sentence
