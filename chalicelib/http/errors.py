"""Turns errors into responses: one table of statuses, one handler for device calls and one for download links.

No response contains a secret or an internal detail. The log always contains the error's own message.
"""

import functools
from collections.abc import Callable, Sequence
from http import HTTPStatus

from chalice.app import Response

from chalicelib.core.errors import PasswireError, RefusedError, TransientError
from chalicelib.core.links import LinkError, LinkExpiredError
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.http.responses import error_response, html
from chalicelib.passes.personalization import AlreadyPersonalizedError, NotPersonalizableError, PersonalizationError
from chalicelib.telemetry import log

RETRY_AFTER_SECONDS = 60
"""`Retry-After` of the page with status 503."""

View = Callable[..., Response]


class BadRequestError(RefusedError):
    """400: the request does not follow the protocol."""


class TooLargeError(RefusedError):
    """413: the body is larger than the protocol needs."""


STATUSES: tuple[tuple[type[PasswireError], HTTPStatus], ...] = (
    (UnauthorizedError, HTTPStatus.UNAUTHORIZED),
    (BadRequestError, HTTPStatus.BAD_REQUEST),
    (PersonalizationError, HTTPStatus.BAD_REQUEST),
    (NotPersonalizableError, HTTPStatus.NOT_FOUND),
    (LinkError, HTTPStatus.NOT_FOUND),
    (LinkExpiredError, HTTPStatus.GONE),
    (AlreadyPersonalizedError, HTTPStatus.CONFLICT),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TransientError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first entry whose class matches applies. Any other error is for us or for a pipeline to fix, not for the device:
500, and the log says what is wrong.
"""


def status_of(error: PasswireError) -> HTTPStatus:
    """Look up the status that an error is answered with."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def error_handler(respond: Callable[[PasswireError, HTTPStatus], Response]) -> Callable[[View], View]:
    """Make a decorator for views that logs an error and answers with the response of `respond`."""

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


def device_response(error: PasswireError, status: HTTPStatus) -> Response:
    """Answer a device: JSON with a sentence. A refusal says what is wrong with the request, a failure says nothing."""
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return error_response(status, "the pass cannot be made at the moment; the problem has been logged")
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return error_response(status, "try again later")
    return error_response(status, str(error))


def page_response(status: HTTPStatus, languages: Sequence[str]) -> Response:
    """Answer a person: a page in their language that says why there is no pass."""
    from chalicelib.preview.link_pages import Notice, notice_page

    reasons = {
        HTTPStatus.NOT_FOUND: Notice.NO_PASS,
        HTTPStatus.GONE: Notice.NO_PASS,
        HTTPStatus.SERVICE_UNAVAILABLE: Notice.SLOW,
    }
    notice = notice_page(reasons.get(status, Notice.FAILED), languages)
    response = html(status, notice.html, policy=notice.policy)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


handle_device_errors = error_handler(device_response)


def handle_page_errors(languages: Callable[[], Sequence[str]]) -> Callable[[View], View]:
    """Make a decorator for views that people open.

    Args:
        languages: reads the languages of the current request's reader, the favorite first.
    """
    return error_handler(lambda _, status: page_response(status, languages()))
