"""Tests of the form of dates in pass.json."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.dates import EXPECTED, date_problem, is_date_key, is_w3c_date

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))) | st.just(UTC)


@given(st.datetimes(timezones=ZONES))
def test_date_to_the_second_or_minute_with_a_zone_is_accepted(moment: datetime) -> None:
    assert is_w3c_date(moment.isoformat(timespec="seconds"))
    assert is_w3c_date(moment.isoformat(timespec="minutes"))
    assert is_w3c_date(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")) or moment.astimezone(UTC).year < 1000


@pytest.mark.parametrize(
    "value",
    [
        "2026-12-24",
        "2026-12-24T18:30",
        "2026-12-24T18:30:00",
        "2026-12-24T18:30:00.5Z",
        "2026-12-24 18:30:00Z",
        "2026-12-24t18:30:00z",
        "2026-12-24T18:30:00+0100",
        "2026-12-24T18:30:00+01",
        "2026-13-24T18:30:00Z",
        "2026-02-30T18:30:00Z",
        "2026-12-24T25:30:00Z",
        "2026-12-24T18:30:00+25:00",
        "2026-12-24T18:30:00Z\n",
        "٢٠٢٦-12-24T18:30:00Z",
        "",
        1_782_000_000,
        None,
        True,
    ],
)
def test_value_in_another_form_is_refused(value: object) -> None:
    assert not is_w3c_date(value)


def test_message_quotes_the_value_and_shows_the_form() -> None:
    assert date_problem("tomorrow") == f"'tomorrow' {EXPECTED}"
    assert date_problem(7) == f"7 {EXPECTED}"
    assert len(date_problem("x" * 5000)) < 300


@pytest.mark.parametrize("key", ["date", "relevantDate", "expirationDate", "startDate"])
def test_keys_of_dates_are_recognized_by_their_names(key: str) -> None:
    assert is_date_key(key)


@pytest.mark.parametrize("key", ["dates", "Date of birth", "value", "update"])
def test_other_keys_hold_no_dates(key: str) -> None:
    assert not is_date_key(key)
