"""The border: where a request came in by, what is logged of it, and how errors are called."""

import contextlib
import io
import json
from http import HTTPStatus

import pytest
from chalice.app import Request
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.flows import device_logs
from chalicelib.http import api
from chalicelib.settings import Settings
from chalicelib.telemetry import log
from tests.support.in_process import DOMAIN, gateway_event
from tests.unit.test_settings import COMPLETE

SETTINGS = Settings.from_environment(COMPLETE)
PASS = "/v1/passes/{pass_type_identifier}/{serial_number}"
ROUTES = ((PASS, ("pass.a", "s")), (PASS, ("v1", "p")), (PASS, ("p", "v1%2Fpasses%2Fx")), ("/p/{token}", ("p",)))


@pytest.mark.parametrize("base_path", ["", "/api", "/v1", "/p", "/v1/p", "/v1/passes", "/a/v1/passes/b"])
@pytest.mark.parametrize(("route", "parameters"), ROUTES, ids=str)
@pytest.mark.parametrize("end", ["", "/"])
def test_the_web_service_url_keeps_any_base_path(
    base_path: str, route: str, parameters: tuple[str, ...], end: str
) -> None:
    """A custom domain's base path mapping may be called as a route begins."""
    event = gateway_event("GET", route, *parameters)
    event["requestContext"]["path"] = base_path + event["path"] + end
    assert api.web_service_url(SETTINGS, Request(event, None)) == f"https://{DOMAIN}{base_path}"


@pytest.mark.parametrize("status", [400, 401, 404, 405, 409, 410, 413, 500, 503])
def test_an_error_code_is_one_word_with_error_at_its_end_once(status: int) -> None:
    body = api.error_response(HTTPStatus(status), "text").body
    assert body["Code"].endswith("Error")
    assert not body["Code"].endswith("ErrorError")
    assert body["Code"].isalpha()


def test_every_status_of_an_error_has_a_code() -> None:
    assert api.error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "x").body["Code"] == "InternalServerError"
    assert api.error_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "x").body["Code"] == "RequestEntityTooLargeError"


MESSAGES = st.lists(st.text(max_size=600) | st.sampled_from(["x" * 4096, "\0" * 4096, "é" * 2048]), max_size=100)


@given(messages=MESSAGES)
def test_one_request_logs_16_kilobytes_at_most(messages: list[str]) -> None:
    lines = noted(messages)
    assert sum(len(line) + 1 for line in lines) <= 16_384
    events = [json.loads(line) for line in lines]
    logged = [event["message"] for event in events if event["event"] == "device_log"]
    cut = [event["left_out"] for event in events if event["event"] == "device_log_cut"]
    assert logged == messages[: len(logged)]
    assert cut == ([len(messages) - len(logged)] if len(logged) < len(messages) else [])


def test_what_fits_is_logged_whole() -> None:
    assert len(noted(["a"] * 100)) == 100
    assert len(noted(["x" * 4096] * 3)) == 3


def noted(messages: list[str]) -> list[str]:
    written = io.StringIO()
    with contextlib.redirect_stdout(written), log.invocation(request_id="3f2b1c60-0000-4000-8000-000000000000"):
        device_logs.log_messages(messages)
    return written.getvalue().splitlines()
