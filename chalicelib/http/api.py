"""HTTP at the border: requests parsed into values, results and errors turned into responses.

What the gateway hands over is Chalice's request; what leaves is Chalice's response. No route decides anything here.
"""

import functools
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from chalice.app import CaseInsensitiveMapping, Request, Response

from chalicelib.core.errors import PasswireError, RefusedError, TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, IdentifierError, PassId, PushToken
from chalicelib.core.links import LinkEndedError, LinkError
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.device_logs import MAX_MESSAGE_BYTES, MAX_MESSAGES
from chalicelib.passes.personalization import (
    AlreadyPersonalizedError,
    NotPersonalizableError,
    Personalization,
    PersonalizationError,
)
from chalicelib.settings import PathParameters, Settings
from chalicelib.telemetry import log
from chalicelib.updates.conditional import Conditions

if TYPE_CHECKING:
    from chalicelib.flows.download import Download
    from chalicelib.flows.listing import Listing

PKPASS = "application/vnd.apple.pkpass"
MAX_REGISTRATION_BODY_BYTES = 4096
MAX_PERSONALIZATION_BODY_BYTES = 8192
MAX_LOG_BODY_BYTES = 2 * MAX_MESSAGES * MAX_MESSAGE_BYTES
"""Quotes, commas and escapes included."""
JSON = {"Content-Type": "application/json"}


class BadRequestError(RefusedError):
    """400: the request is not what the protocol asks for."""


class TooLargeError(RefusedError):
    """413: the body is larger than anything that the protocol asks for."""


View = Callable[..., Response]


def error_handler(respond: Callable[[PasswireError, HTTPStatus], Response]) -> Callable[[View], View]:
    """What turns the errors of a view into responses that `respond` makes: no secret, nothing of our inside."""

    def handle_errors(view: View) -> View:
        @functools.wraps(view)
        def answer(*args: str, **path_parameters: str) -> Response:
            try:
                return view(*args, **path_parameters)
            except PasswireError as error:
                status = status_of(error)
                log.event("request_failed", status=status.value, error=str(error))
                return respond(error, status)

        return answer

    return handle_errors


handle_errors = error_handler(lambda error, status: error_response(status, _public_message(error, status)))
"""For the calls of devices: a clear status, and a sentence as JSON."""

_STATUS: tuple[tuple[type[PasswireError], HTTPStatus], ...] = (
    (UnauthorizedError, HTTPStatus.UNAUTHORIZED),
    (BadRequestError, HTTPStatus.BAD_REQUEST),
    (PersonalizationError, HTTPStatus.BAD_REQUEST),
    (NotPersonalizableError, HTTPStatus.NOT_FOUND),
    (LinkError, HTTPStatus.NOT_FOUND),
    (LinkEndedError, HTTPStatus.GONE),
    (AlreadyPersonalizedError, HTTPStatus.CONFLICT),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""What is not named here is ours or a pipeline's to repair, not the device's: 500, and a line in the log says what."""


def status_of(error: PasswireError) -> HTTPStatus:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


_CODES = {
    HTTPStatus.BAD_REQUEST: "BadRequestError",
    HTTPStatus.UNAUTHORIZED: "UnauthorizedError",
    HTTPStatus.NOT_FOUND: "NotFoundError",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowedError",
    HTTPStatus.CONFLICT: "ConflictError",
    HTTPStatus.GONE: "GoneError",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLargeError",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalServerError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailableError",
}
"""Written out, because the phrases of `HTTPStatus` differ between versions of Python. Chalice and resources.json use
the same codes.
"""


def error_response(status: HTTPStatus, message: str) -> Response:
    """A short JSON error in the form that Chalice's own errors have."""
    return Response({"Code": _CODES[status], "Message": message}, status_code=status.value, headers={**JSON})


def empty(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    """A response without a body; Chalice would send a None as `null`."""
    return Response("", status_code=status.value, headers={**(headers or {})})


def unknown_route(request: Request, routes: Mapping[str, Mapping[str, object]]) -> Response:
    """What came in by the gateway's catch-all: 405 where the path is a route's, for other methods, else 404.

    API Gateway sends a method that a route does not have to the catch-all too, so both are told apart here.
    """
    path = (request.uri_params or {}).get("proxy", "").split("/")
    allowed = sorted({method for route, methods in routes.items() if _matches(route, path) for method in methods})
    if not allowed:
        return error_response(HTTPStatus.NOT_FOUND, "there is nothing at this path")
    response = error_response(HTTPStatus.METHOD_NOT_ALLOWED, f"use {', '.join(allowed)}")
    response.headers["Allow"] = ", ".join(allowed)
    return response


def _matches(route: str, path: list[str]) -> bool:
    expected = route.removeprefix("/").split("/")
    return len(expected) == len(path) and all(
        part.startswith("{") or part == given for part, given in zip(expected, path, strict=True)
    )


def pass_id(settings: Settings, pass_type_identifier: str, serial_number: str) -> PassId:
    """The pass that a path names.

    Raises:
        UnauthorizedError: no pass can have this name, so it is unknown.
    """
    try:
        return PassId(path_parameter(settings, pass_type_identifier), path_parameter(settings, serial_number))
    except IdentifierError:
        raise UnauthorizedError from None


def device(settings: Settings, device_library_identifier: str) -> DeviceLibraryIdentifier:
    """The device that a path names.

    Raises:
        BadRequestError: no device can have this name.
    """
    try:
        return DeviceLibraryIdentifier(path_parameter(settings, device_library_identifier))
    except IdentifierError as error:
        raise BadRequestError(str(error)) from None


def known_device(settings: Settings, device_library_identifier: str) -> DeviceLibraryIdentifier | None:
    """The device that a path names; None where no device can have this name, and so none is known by it."""
    try:
        return device(settings, device_library_identifier)
    except BadRequestError:
        return None


def path_parameter(settings: Settings, value: str) -> str:
    """A path parameter, percent-decoded exactly once: by the gateway or here. Empty where it is not UTF-8."""
    if settings.path_parameters is PathParameters.DECODED:
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return ""


def ignore_media_types(request: Request) -> None:
    """Keeps Chalice from refusing a request for its `Accept` (400) or `Content-Type` (415).

    Devices send `Accept: */*` or nothing; RFC 9110, section 12.5.1, lets a server disregard the header. A
    `Content-Type` says nothing about a request without a body, and a body must be JSON whatever it is called: what is
    not JSON gets 400 from the route that reads it.
    """
    headers = {name: value for name, value in request.headers.items() if name != "content-type"}
    request.headers = CaseInsensitiveMapping({**headers, "accept": "*/*"})


def authorization(request: Request) -> str | None:
    return header(request, "authorization")


def conditions(request: Request) -> Conditions:
    return Conditions(
        if_none_match=header(request, "if-none-match"), if_modified_since=header(request, "if-modified-since")
    )


def query_parameter(request: Request, name: str) -> str | None:
    return request.query_params.get(name) if request.query_params is not None else None


def push_token(request: Request) -> PushToken:
    """`{"pushToken": "..."}`.

    Raises:
        TooLargeError, BadRequestError: the body is too large, or not that.
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
    """`{"logs": ["...", ...]}`, or the bare array that one client sends.

    Raises:
        TooLargeError, BadRequestError: too much of it, or not that.
    """
    body = _json(request, max_bytes=MAX_LOG_BODY_BYTES)
    messages = body.get("logs") if isinstance(body, dict) else body
    if not isinstance(messages, list) or not all(isinstance(message, str) for message in messages):
        raise BadRequestError('the body must be {"logs": ["...", ...]}')
    if len(messages) > MAX_MESSAGES or any(len(m.encode(errors="replace")) > MAX_MESSAGE_BYTES for m in messages):
        raise TooLargeError(f"at most {MAX_MESSAGES} messages of {MAX_MESSAGE_BYTES} bytes each")
    return messages


def personalization(request: Request) -> Personalization:
    """What Wallet posts when a person signs up.

    Raises:
        TooLargeError, PersonalizationError: the body is too large, or not that.
    """
    return Personalization.parse(_json(request, max_bytes=MAX_PERSONALIZATION_BODY_BYTES))


def web_service_url(settings: Settings, request: Request) -> str:
    """The URL that the pass names to phones: the configured one, else the one that this request came in by.

    What precedes the route in the request's path belongs to the URL: the stage's name, or the base path mapping of a
    custom domain, which may have any name and several segments. So segments are counted off from the end.
    """
    if settings.web_service_url:
        return settings.web_service_url
    context = request.context
    base_path = context["path"].rstrip("/").rsplit("/", request.path.count("/"))[0]
    return f"https://{context['domainName']}{base_path}"


def listing(result: "Listing | None") -> Response:
    """200 with what to fetch and the tag to come back with; 204 where there is nothing, which is no error."""
    if result is None:
        return empty(HTTPStatus.NO_CONTENT)
    return Response(
        {"serialNumbers": list(result.serial_numbers), "lastUpdated": str(result.last_updated)},
        headers={**JSON, "Cache-Control": "private, no-store"},
    )


def download(result: "Download", *, method: str) -> Response:
    """The pass, or 304 with the same validators; `HEAD` gets all but the body (RFC 9110, section 9.3.2)."""
    headers = {"Cache-Control": "private, no-cache", **result.validators.headers}
    if result.pkpass is None:
        return empty(HTTPStatus.NOT_MODIFIED, headers)
    return Response(b"" if method == "HEAD" else result.pkpass, headers={"Content-Type": PKPASS, **headers})


def signature(der: bytes) -> Response:
    """A signature, as raw bytes."""
    return Response(der, headers={"Content-Type": "application/octet-stream", "Cache-Control": "private, no-store"})


def _json(request: Request, *, max_bytes: int) -> Any:  # noqa: ANN401 - what it is, is for the caller to find out
    raw = request.raw_body or b""
    if len(raw) > max_bytes:
        raise TooLargeError(f"the body has {len(raw)} bytes, {max_bytes} at most")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON") from None


def header(request: Request, name: str) -> str | None:
    value: str | None = request.headers.get(name)
    return value


def _public_message(error: PasswireError, status: HTTPStatus) -> str:
    """What a stranger may read: refusals say what is wrong with the request, all else only that it is not theirs."""
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return "the pass cannot be made at the moment; its issuer has been told"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return "try again later"
    return str(error)
