"""Fixtures for the tests of the local run: its limits, and tables of a test."""

from collections.abc import Iterator

import pytest

from infra.local.run import LocalRun
from tests.schedules.tables import ScratchTables
from tests.support.strict import StrictAws


@pytest.fixture
def strict(stack: LocalRun) -> StrictAws:
    return StrictAws(stack)


@pytest.fixture
def tables(stack: LocalRun) -> Iterator[ScratchTables]:
    assert stack
    with ScratchTables() as made:
        yield made
