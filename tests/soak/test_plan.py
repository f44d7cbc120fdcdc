"""The plan of a soak follows from its seed."""

from tests.soak.plan import Plan


def test_plan_follows_from_seed_and_length() -> None:
    assert Plan.of(1, seconds=60) == Plan.of(1, seconds=60)
    assert Plan.of(1, seconds=60).digest != Plan.of(2, seconds=60).digest
    assert Plan.of(1, seconds=60, faults=False).steps == Plan.of(1, seconds=60).steps
    assert Plan.of(1, seconds=60, faults=False).faults == []
