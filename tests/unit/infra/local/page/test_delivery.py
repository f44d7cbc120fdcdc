"""APNs keeps the latest notification of each topic for a device that is not connected."""

from hypothesis import given
from hypothesis import strategies as st

from infra.local.page.delivery import WaitingPushes

HOUR = {"apns-expiration": "3600"}


def test_older_notification_of_a_topic_is_replaced() -> None:
    waiting = WaitingPushes()
    for _ in range(3):
        waiting.keep("pass.a", HOUR)
    waiting.keep("pass.b", HOUR)
    assert waiting.take(0) == {"pass.a": 3, "pass.b": 1}


def test_delivered_notifications_are_forgotten() -> None:
    waiting = WaitingPushes()
    waiting.keep("pass.a", HOUR)
    waiting.take(0)
    assert waiting.take(0) == {}


def test_notification_with_expiration_zero_is_not_kept() -> None:
    waiting = WaitingPushes()
    waiting.keep("pass.a", {"apns-expiration": "0"})
    assert waiting.take(0) == {}


def test_notification_without_expiration_is_kept() -> None:
    waiting = WaitingPushes()
    waiting.keep("pass.a", {})
    assert waiting.take(1e12) == {"pass.a": 1}


def test_expired_notification_is_not_delivered() -> None:
    waiting = WaitingPushes()
    waiting.keep("pass.a", HOUR)
    assert waiting.take(3600) == {}


@given(st.lists(st.sampled_from(["pass.a", "pass.b", "pass.c"])))
def test_each_topic_is_delivered_once(topics: list[str]) -> None:
    waiting = WaitingPushes()
    for topic in topics:
        waiting.keep(topic, HOUR)
    assert waiting.take(0) == {topic: topics.count(topic) for topic in set(topics)}
