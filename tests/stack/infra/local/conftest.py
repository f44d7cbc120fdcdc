"""Fixtures for the tests of the local run."""

import pytest

from infra.local.run import LocalRun
from tests.support.strict import StrictAws


@pytest.fixture
def strict(stack: LocalRun) -> StrictAws:
    return StrictAws(stack)
