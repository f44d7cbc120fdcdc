"""The device API over HTTP: parses requests into values and turns results into responses.

It takes Chalice's requests and returns Chalice's responses. It makes no decisions about passes.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from chalice.app import CaseInsensitiveMapping, Request, Response

from chalicelib.core.identifiers import DeviceLibraryIdentifier, IdentifierError, PassId, PushToken
from chalicelib.core.wallets import Wallet, wallet_of
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.device_logs import MAX_MESSAGE_BYTES, MAX_MESSAGES
from chalicelib.http.errors import BadRequestError, TooLargeError
from chalicelib.http.responses import JSON, PKPASS, empty, error_response
from chalicelib.passes.personalization import Personalization
from chalicelib.settings import PathParameters, Settings
from chalicelib.updates.conditional import Conditions

if TYPE_CHECKING:
    from chalicelib.flows.download import Download
    from chalicelib.flows.listing import Listing

MAX_REGISTRATION_BODY_BYTES = 4096
MAX_PERSONALIZATION_BODY_BYTES = 8192
MAX_LOG_BODY_BYTES = 2 * MAX_MESSAGES * MAX_MESSAGE_BYTES
"""Includes quotes, commas and escapes."""


DOCTOR_AGENT = "passwire-doctor"
"""`User-Agent` of the operators' checks, whose requests must not look like those of phones in the logs."""


def caller(request: Request) -> dict[str, str]:
    """Return the log field that marks the requests of `doctor`; empty for all others."""
    return {"caller": "doctor"} if header(request, "user-agent") == DOCTOR_AGENT else {}


def unknown_route(request: Request, routes: Mapping[str, Mapping[str, object]]) -> Response:
    """Answer a request for no route: 405 if the path has routes for other methods, else 404.

    API Gateway sends both kinds of requests to the catch-all route, so they are distinguished here.
    """
    path = (request.uri_params or {}).get("proxy", "").split("/")
    allowed = sorted({method for route, methods in routes.items() if _matches(route, path) for method in methods})
    if not allowed:
        return error_response(HTTPStatus.NOT_FOUND, "there is no resource at this path")
    response = error_response(HTTPStatus.METHOD_NOT_ALLOWED, f"use {', '.join(allowed)}")
    response.headers["Allow"] = ", ".join(allowed)
    return response


def _matches(route: str, path: list[str]) -> bool:
    expected = route.removeprefix("/").split("/")
    return len(expected) == len(path) and all(
        part.startswith("{") or part == given for part, given in zip(expected, path, strict=True)
    )


def pass_id(settings: Settings, pass_type_identifier: str, serial_number: str) -> PassId:
    """Parse the pass id in a path.

    Raises:
        UnauthorizedError: invalid pass id. It is treated as an unknown pass.
    """
    try:
        return PassId(path_parameter(settings, pass_type_identifier), path_parameter(settings, serial_number))
    except IdentifierError:
        raise UnauthorizedError from None


def device(settings: Settings, device_library_identifier: str) -> DeviceLibraryIdentifier:
    """Parse the device library identifier in a path.

    Raises:
        BadRequestError: invalid device library identifier.
    """
    try:
        return DeviceLibraryIdentifier(path_parameter(settings, device_library_identifier))
    except IdentifierError as error:
        raise BadRequestError(str(error)) from None


def known_device(settings: Settings, device_library_identifier: str) -> DeviceLibraryIdentifier | None:
    """Parse the device library identifier in a path; None if it is invalid, since no such device is known."""
    try:
        return device(settings, device_library_identifier)
    except BadRequestError:
        return None


def path_parameter(settings: Settings, value: str) -> str:
    """Return a path parameter, percent-decoded exactly once, by the gateway or here; empty if it is not UTF-8."""
    if settings.path_parameters is PathParameters.DECODED:
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return ""


def ignore_media_types(request: Request) -> None:
    """Keep Chalice from refusing a request for its `Accept` (400) or `Content-Type` (415) header.

    Devices send `Accept: */*` or no such header; RFC 9110, section 12.5.1, lets a server disregard it. `Content-Type`
    is meaningless without a body. A body must be JSON under any media type: the route that reads it answers 400 if it
    is not.
    """
    headers = {name: value for name, value in request.headers.items() if name != "content-type"}
    request.headers = CaseInsensitiveMapping({**headers, "accept": "*/*"})


def authorization(request: Request) -> str | None:
    """Return the `Authorization` header; None if it is missing."""
    return header(request, "authorization")


def wallet(request: Request) -> Wallet:
    """Return the app that sent the request."""
    return wallet_of(
        authorization=authorization(request),
        pass_client=header(request, "x-pass-client"),
        user_agent=header(request, "user-agent"),
    )


def conditions(request: Request) -> Conditions:
    """Return the conditional headers of a download."""
    return Conditions(
        if_none_match=header(request, "if-none-match"), if_modified_since=header(request, "if-modified-since")
    )


def query_parameter(request: Request, name: str) -> str | None:
    """Return a query parameter; None if it is missing."""
    return request.query_params.get(name) if request.query_params is not None else None


def push_token(request: Request) -> PushToken:
    """Read the push token from the body `{"pushToken": "..."}`.

    Raises:
        TooLargeError: the body is too large.
        BadRequestError: the body has another form, or the push token is invalid.
    """
    body = _json(request, max_bytes=MAX_REGISTRATION_BODY_BYTES)
    token = body.get("pushToken") if isinstance(body, dict) else None
    if not isinstance(token, str):
        raise BadRequestError('the body must be {"pushToken": "..."}')
    try:
        return PushToken(token)
    except IdentifierError as error:
        raise BadRequestError(str(error)) from None


def log_messages(request: Request) -> list[str]:
    """Read messages from the body `{"logs": ["...", ...]}`, or from a bare array, which some clients send.

    Raises:
        TooLargeError: the body or a message is too large, or there are too many messages.
        BadRequestError: the body has another form.
    """
    body = _json(request, max_bytes=MAX_LOG_BODY_BYTES)
    messages = body.get("logs") if isinstance(body, dict) else body
    if not isinstance(messages, list) or not all(isinstance(message, str) for message in messages):
        raise BadRequestError('the body must be {"logs": ["...", ...]}')
    if len(messages) > MAX_MESSAGES or any(len(m.encode(errors="replace")) > MAX_MESSAGE_BYTES for m in messages):
        raise TooLargeError(f"at most {MAX_MESSAGES} messages of {MAX_MESSAGE_BYTES} bytes each")
    return messages


def personalization(request: Request) -> Personalization:
    """Read the body that Wallet posts when a person signs up.

    Raises:
        TooLargeError: the body is too large.
        BadRequestError: the body is not JSON.
        PersonalizationError: the body has another form.
    """
    return Personalization.parse(_json(request, max_bytes=MAX_PERSONALIZATION_BODY_BYTES))


def web_service_url(settings: Settings, request: Request) -> str:
    """Return the `webServiceURL` of passes: the configured one, else the URL that this request was sent to.

    The part of the request's path before the route belongs to the URL: the name of the stage, or the base path mapping
    of a custom domain, which may have any name and several segments. Therefore segments are counted from the end.
    """
    if settings.web_service_url:
        return settings.web_service_url
    context = request.context
    base_path = context["path"].rstrip("/").rsplit("/", request.path.count("/"))[0]
    return f"https://{context['domainName']}{base_path}"


def listing(result: "Listing | None") -> Response:
    """Build the response with the passes to download and the next tag; 204 without any."""
    if result is None:
        return empty(HTTPStatus.NO_CONTENT)
    return Response(
        {"serialNumbers": list(result.serial_numbers), "lastUpdated": str(result.last_updated)},
        headers={**JSON, "Cache-Control": "private, no-store"},
    )


def download(result: "Download", *, method: str) -> Response:
    """Build the response with the pass, or 304 with the same validators.

    `HEAD` gets all but the body (RFC 9110, section 9.3.2).
    """
    headers = {"Cache-Control": "private, no-cache", **result.validators.headers}
    if result.pkpass is None:
        return empty(HTTPStatus.NOT_MODIFIED, headers)
    return Response(b"" if method == "HEAD" else result.pkpass, headers={"Content-Type": PKPASS, **headers})


def signature(der: bytes) -> Response:
    """Build the response with a signature (DER) as raw bytes."""
    return Response(der, headers={"Content-Type": "application/octet-stream", "Cache-Control": "private, no-store"})


def _json(request: Request, *, max_bytes: int) -> Any:  # noqa: ANN401 - any JSON value; callers check its form
    raw = request.raw_body or b""
    if len(raw) > max_bytes:
        raise TooLargeError(f"the body has {len(raw)} bytes; the limit is {max_bytes}")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON") from None


def header(request: Request, name: str) -> str | None:
    """Return a header by its lower-case name; None if it is missing."""
    value: str | None = request.headers.get(name)
    return value
