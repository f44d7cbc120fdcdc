"""Tests of the doctor's judgments of this machine's clock and of the stage's alarms."""

from collections.abc import Sequence
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.operate.doctor.checks.surroundings import MAX_CLOCK_SECONDS, alarms, clock
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, Severity, alarm_cause
from infra.stage.stage import Stage

NOW = 1_800_000_000.0
TOPIC = "arn:aws:sns:eu-central-1:1:passwire-dev-alarms"
CONFIRMED = f"{TOPIC}:1"


class Surroundings(DoctorContext):
    """A stage with alarms and subscriptions, on a machine with a clock."""

    def __init__(self, *, ahead: float = 0.0, on: Sequence[str] = (), subscriptions: Sequence[str] = ()) -> None:
        stage = SimpleNamespace(name="dev", outputs={"AlarmTopicArn": TOPIC}, secrets=None)
        super().__init__(cast("Stage", stage), clock=lambda: NOW + ahead)
        self._on, self._subscriptions = on, subscriptions

    def client(self, service: str) -> Any:  # noqa: ANN401 - as DoctorContext
        assert service in ("sts", "cloudwatch", "sns")
        page = {"MetricAlarms": [{"AlarmName": name, "StateReason": "threshold crossed"} for name in self._on]}
        return SimpleNamespace(
            get_caller_identity=lambda: {"ResponseMetadata": {"HTTPHeaders": {"date": formatdate(NOW, usegmt=True)}}},
            get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [page]),
            list_subscriptions_by_topic=lambda **_: {
                "Subscriptions": [{"SubscriptionArn": arn} for arn in self._subscriptions]
            },
        )


@pytest.mark.parametrize("ahead", [0, MAX_CLOCK_SECONDS, -MAX_CLOCK_SECONDS])
def test_small_difference_of_the_clock_is_accepted(ahead: float) -> None:
    assert list(clock(Surroundings(ahead=ahead))) == []


@pytest.mark.parametrize(("ahead", "words"), [(31, "31 s ahead of"), (-3600, "3600 s behind")])
def test_wrong_clock_is_a_warning(ahead: float, words: str) -> None:
    (finding,) = clock(Surroundings(ahead=ahead))
    assert (finding.severity, finding.found) == (Severity.WARNING, f"this machine's clock is {words} AWS's")


def found(**surroundings: Sequence[str]) -> list[DoctorFinding]:
    return list(alarms(Surroundings(**surroundings)))  # type: ignore[arg-type]  # options of a test


def test_alarm_that_is_on_is_reported_with_its_runbook_section() -> None:
    (finding,) = found(on=["passwire-dev-StreamAgeAlarm-1X2", "passwire-dev-other"], subscriptions=[CONFIRMED])
    assert finding.found == "alarm StreamAge is on: threshold crossed"
    assert finding.fix == "read docs/operations/runbook.md#streamage"
    assert finding.cause == alarm_cause("StreamAge")


def test_alarm_of_another_stage_is_not_reported() -> None:
    assert found(on=["passwire-dev-2-StreamAgeAlarm-1X2"], subscriptions=[CONFIRMED]) == []


@pytest.mark.parametrize("subscriptions", [[], ["PendingConfirmation"]])
def test_alarms_that_reach_no_person_are_a_warning(subscriptions: list[str]) -> None:
    (finding,) = found(subscriptions=subscriptions)
    assert finding.found.startswith("alarms reach no person")
    assert TOPIC in finding.fix
