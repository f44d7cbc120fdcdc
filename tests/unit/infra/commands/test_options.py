"""Tests of reading values of the command line."""

import time
from datetime import UTC, datetime

import pytest
import typer

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from infra.commands.options import read_parameters, read_pass, read_since, read_value


def refuse(_: str) -> str:
    raise RefusedError("not this one")


def test_invalid_value_names_its_option() -> None:
    with pytest.raises(typer.BadParameter, match="not this one") as raised:
        read_value("--type", refuse, "x")
    assert (raised.value.param_hint, raised.value.exit_code) == ("--type", 2)


def test_error_that_is_not_about_the_value_is_not_hidden() -> None:
    def fail(_: str) -> str:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        read_value("--type", fail, "x")


def test_pass_is_read() -> None:
    assert read_pass("pass.com.acme/7") == PassId("pass.com.acme", "7")
    with pytest.raises(typer.BadParameter) as raised:
        read_pass("7")
    assert raised.value.param_hint == "PASS"


def test_time_is_read_as_a_duration_or_a_moment() -> None:
    assert time.time() - read_since("2h") == pytest.approx(7200, abs=60)
    assert read_since("2026-11-25T10:00") == datetime(2026, 11, 25, 10, tzinfo=UTC).timestamp()
    with pytest.raises(typer.BadParameter) as raised:
        read_since("yesterday", option="--changed-since")
    assert raised.value.param_hint == "--changed-since"


def test_parameters_come_from_all_options() -> None:
    found = read_parameters(["ThrottleRate=500"], web_service_url="https://a.example", apns_push_type="alert")
    assert found == {"ThrottleRate": "500", "WebServiceUrl": "https://a.example", "ApnsPushType": "alert"}
    assert read_parameters(None, web_service_url=None, apns_push_type=None) == {}


@pytest.mark.parametrize("text", ["ThrottleRate", "Unknown=1"])
def test_invalid_parameter_names_the_option(text: str) -> None:
    with pytest.raises(typer.BadParameter) as raised:
        read_parameters([text], web_service_url=None, apns_push_type=None)
    assert raised.value.param_hint == "--set"
