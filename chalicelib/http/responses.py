"""The bodies and headers of responses that more than one route sends."""

from collections.abc import Mapping
from http import HTTPStatus

from chalice.app import Response

PKPASS = "application/vnd.apple.pkpass"
PKPASSES = "application/vnd.apple.pkpasses"
PNG = "image/png"
JSON = {"Content-Type": "application/json"}
PRIVATE = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Vary": "User-Agent, Accept-Language",
}
"""Headers of every answer to a download link: its address is a secret."""
NOT_FRAMED = "; form-action 'none'; frame-ancestors 'none'"
"""Directives of the content security policy that only a header can set (CSP Level 3, 3.3)."""
CODES = {
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
"""`Code` of a JSON error by status. They are written out because the phrases of `HTTPStatus` differ between versions of
Python. Chalice and resources.json use the same codes.
"""


def empty(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    """Build a response without a body; Chalice would send None as `null`."""
    return Response("", status_code=status.value, headers={**(headers or {})})


def error_response(status: HTTPStatus, message: str) -> Response:
    """Build a short JSON error in the form of Chalice's own errors."""
    return Response({"Code": CODES[status], "Message": message}, status_code=status.value, headers={**JSON})


def html(status: HTTPStatus, page: str, *, policy: str) -> Response:
    """Build a private HTML page.

    Args:
        status: of the response.
        page: the whole document; empty for the response to `HEAD`.
        policy: content security policy of the document, to which the directives against framing are added.
    """
    return Response(
        page,
        status_code=status.value,
        headers={
            **PRIVATE,
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy + NOT_FRAMED,
        },
    )
