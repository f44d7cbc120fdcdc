"""Fixtures of the tests of the tooling."""

from collections.abc import Iterator

import pytest

from tests.support.cloud import Cloud, cloud_without_stacks


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with cloud_without_stacks() as made:
        yield made
