"""Fixtures for the tests of the flows: a subscriber to the stage's events."""

from collections.abc import Iterator

import pytest

from infra.local.run import LocalRun
from infra.stage.stage import Stage
from tests.support.subscriber import Subscriber


@pytest.fixture
def subscriber(stack: LocalRun) -> Iterator[Subscriber]:
    subscriber = Subscriber(Stage.open(stack.stage).output("EventBusName"))
    yield subscriber
    subscriber.close()
