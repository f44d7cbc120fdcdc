"""Tests of parsing requests of the device API and of its responses."""

import json
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest
from chalice.app import Request

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.download import Download
from chalicelib.flows.listing import Listing
from chalicelib.http import api
from chalicelib.http.errors import BadRequestError, TooLargeError
from chalicelib.settings import PathParameters, Settings
from chalicelib.updates.conditional import validators_of
from chalicelib.updates.protocol import Tag, Version
from tests.support.complete_settings import COMPLETE
from tests.support.in_process import DOMAIN, gateway_event

SETTINGS = Settings.from_environment(COMPLETE)
PASS = "/v1/passes/{pass_type_identifier}/{serial_number}"
ROUTES = ((PASS, ("pass.a", "s")), (PASS, ("v1", "p")), (PASS, ("p", "v1%2Fpasses%2Fx")), ("/p/{token}", ("p",)))


@pytest.mark.parametrize("base_path", ["", "/api", "/v1", "/p", "/v1/p", "/v1/passes", "/a/v1/passes/b"])
@pytest.mark.parametrize(("route", "parameters"), ROUTES, ids=str)
@pytest.mark.parametrize("end", ["", "/"])
def test_web_service_url_keeps_base_path_of_custom_domain(
    base_path: str, route: str, parameters: tuple[str, ...], end: str
) -> None:
    """A base path mapping may have the name of a route's first segment."""
    event = gateway_event("GET", route, *parameters)
    event["requestContext"]["path"] = base_path + event["path"] + end
    assert api.web_service_url(SETTINGS, Request(event, None)) == f"https://{DOMAIN}{base_path}"


def request(
    method: str = "POST",
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    **path: str,
) -> Request:
    event = gateway_event(method, "/v1/log")
    event["body"] = body.decode() if body is not None else None
    event["isBase64Encoded"] = False
    event["headers"] = {**(headers or {})}
    event["multiValueQueryStringParameters"] = {name: [value] for name, value in (query or {}).items()}
    event["pathParameters"] = path
    return Request(event, None)


@pytest.mark.parametrize("agent", ["passd/1.0 CFNetwork/1490", "passwire-doctor/1", "", None])
def test_only_requests_of_the_doctor_are_marked_in_the_logs(agent: str | None) -> None:
    assert api.caller(request(headers={"User-Agent": agent} if agent is not None else {})) == {}
    assert api.caller(request(headers={"User-Agent": api.DOCTOR_AGENT})) == {"caller": "doctor"}


def test_configured_web_service_url_is_used_for_all_requests() -> None:
    settings = replace(SETTINGS, web_service_url="https://passes.example.com")
    assert api.web_service_url(settings, request()) == "https://passes.example.com"


def test_path_is_decoded_once() -> None:
    assert api.pass_id(SETTINGS, "pass.a", "a%252Fb") == PassId("pass.a", "a%2Fb")
    decoded = replace(SETTINGS, path_parameters=PathParameters.DECODED)
    assert api.pass_id(decoded, "pass.a", "a%2Fb") == PassId("pass.a", "a%2Fb")


@pytest.mark.parametrize("serial_number", ["", "%FF"])
def test_invalid_pass_id_is_treated_as_unknown_pass(serial_number: str) -> None:
    with pytest.raises(UnauthorizedError):
        api.pass_id(SETTINGS, "pass.a", serial_number)


def test_invalid_device_is_a_bad_request_but_has_no_passes() -> None:
    with pytest.raises(BadRequestError):
        api.device(SETTINGS, "%FF")
    assert api.known_device(SETTINGS, "%FF") is None
    assert api.known_device(SETTINGS, "d1") == DeviceLibraryIdentifier("d1")


def test_push_token_is_read_from_the_body() -> None:
    assert api.push_token(request(body=b'{"pushToken": "%s"}' % (b"ab" * 32))).value == "ab" * 32


@pytest.mark.parametrize(
    "body", [None, b"", b"{", b"[]", b"{}", b'{"pushToken": 1}', b'{"pushToken": ""}', b"[" * 4000]
)
def test_body_without_push_token_is_a_bad_request(body: bytes | None) -> None:
    with pytest.raises(BadRequestError):
        api.push_token(request(body=body))


def test_body_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLargeError, match=r"has 4097 bytes; the limit is 4096"):
        api.push_token(request(body=b" " * 4097))


@pytest.mark.parametrize("body", [{"logs": ["a", "b"]}, ["a", "b"]])
def test_log_messages_are_read_from_an_object_or_an_array(body: object) -> None:
    assert api.log_messages(request(body=json.dumps(body).encode())) == ["a", "b"]


@pytest.mark.parametrize("body", [{}, {"logs": "a"}, {"logs": [1]}, "a", None, [None]])
def test_other_log_bodies_are_bad_requests(body: object) -> None:
    with pytest.raises(BadRequestError):
        api.log_messages(request(body=json.dumps(body).encode()))


@pytest.mark.parametrize("messages", [["a"] * 101, ["x" * 4097], ["é" * 2049]])
def test_too_many_or_too_long_log_messages_are_too_large(messages: list[str]) -> None:
    with pytest.raises(TooLargeError):
        api.log_messages(request(body=json.dumps({"logs": messages}).encode()))


def test_headers_and_query_parameters_are_optional() -> None:
    bare = request()
    assert (api.authorization(bare), api.query_parameter(bare, "passesUpdatedSince")) == (None, None)
    full = request(headers={"Authorization": "ApplePass x"}, query={"passesUpdatedSince": "1"})
    assert (api.authorization(full), api.query_parameter(full, "passesUpdatedSince")) == ("ApplePass x", "1")


def test_media_types_of_a_request_are_ignored() -> None:
    odd = request(headers={"Accept": "text/x-odd", "Content-Type": "text/plain"})
    api.ignore_media_types(odd)
    assert (odd.headers.get("accept"), odd.headers.get("content-type")) == ("*/*", None)


@pytest.mark.parametrize(
    ("path", "status", "allowed"),
    [("v1/passes/pass.a/s", 405, "GET, HEAD"), ("v1/passes/pass.a", 404, None), ("v2/passes/pass.a/s", 404, None)],
)
def test_unknown_route_is_405_for_other_methods_and_else_404(path: str, status: int, allowed: str | None) -> None:
    routes: dict[str, dict[str, Any]] = {PASS: {"GET": None, "HEAD": None}}
    response = api.unknown_route(request(proxy=path), routes)
    assert (response.status_code, response.headers.get("Allow")) == (status, allowed)


def test_listing_without_changes_is_204() -> None:
    assert api.listing(None).status_code == HTTPStatus.NO_CONTENT


def test_listing_names_serial_numbers_and_next_tag() -> None:
    tag = Tag.at(1_000_000.0, window_seconds=60)
    response = api.listing(Listing(("a", "b"), tag))
    assert response.body == {"serialNumbers": ["a", "b"], "lastUpdated": str(tag)}


def test_download_is_the_pass_or_304_and_head_has_no_body() -> None:
    validators = validators_of(Version.before_any_stamp(1_000_000.0, window_seconds=60))
    found = api.download(Download(b"zip", validators), method="GET")
    head = api.download(Download(b"zip", validators), method="HEAD")
    unchanged = api.download(Download(None, validators), method="GET")
    assert (found.status_code, found.body, head.body) == (200, b"zip", b"")
    assert found.headers == head.headers
    assert (unchanged.status_code, unchanged.body) == (304, "")
    assert unchanged.headers["Last-Modified"] == found.headers["Last-Modified"]
