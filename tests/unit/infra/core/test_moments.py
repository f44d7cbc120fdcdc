"""The values of `--since` mean the same moment in every command."""

import time

import pytest

from infra.core.moments import MomentError, parse_moment
from tests.support.command_line import run_here

NOW = 1_795_600_800.0
"""2026-11-25T10:00 UTC."""


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("24h", 86_400), ("1d", 86_400), ("2w", 1_209_600)]
)
def test_a_span_reaches_back_from_now(text: str, seconds: float) -> None:
    assert parse_moment(text, now=NOW) == NOW - seconds


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize(
    "text",
    ["2026-11-25T10:00", "2026-11-25 10:00", "2026-11-25T10:00:00Z", "2026-11-25T11:00+01:00", "20261125T100000"],
)
def test_a_moment_without_a_zone_is_utc_on_every_machine(text: str, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert parse_moment(text, now=0) == NOW
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["999999999w", "0001-01-01", "1969-12-31"])
def test_what_is_before_all_logs_is_the_beginning(text: str) -> None:
    assert parse_moment(text, now=NOW) == 0


@pytest.mark.parametrize(
    "text", ["yesterday", "", "10", "m", "-5m", "1.5h", "\u0661m", "10 m", "2026-13-01", "9999999999d", "\x1b"]
)
def test_what_names_no_moment_is_refused_with_what_does(text: str) -> None:
    with pytest.raises(MomentError, match="is not a moment; write how long ago"):
        parse_moment(text, now=NOW)


@pytest.mark.parametrize("command", [["logs"], ["pass", "history", "pass.com.acme/1"]])
def test_a_command_names_the_option_and_ends_with_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(*command, "--since", "yesterday") == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert "--since" in refused
    assert "is not a moment" in refused
