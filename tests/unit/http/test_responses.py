"""Tests of the responses that several routes share."""

from http import HTTPStatus

import pytest

from chalicelib.http.responses import empty, error_response, html


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "BadRequestError"),
        (401, "UnauthorizedError"),
        (404, "NotFoundError"),
        (405, "MethodNotAllowedError"),
        (409, "ConflictError"),
        (410, "GoneError"),
        (413, "RequestEntityTooLargeError"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailableError"),
    ],
)
def test_error_response_has_the_code_of_its_status(status: int, code: str) -> None:
    response = error_response(HTTPStatus(status), "text")
    assert (response.status_code, response.body) == (status, {"Code": code, "Message": "text"})


def test_empty_response_has_no_body_and_keeps_its_headers() -> None:
    response = empty(HTTPStatus.NOT_MODIFIED, {"ETag": '"a"'})
    assert (response.status_code, response.body, response.headers["ETag"]) == (304, "", '"a"')


def test_html_page_is_private_and_cannot_be_framed() -> None:
    headers = html(HTTPStatus.OK, "<p>", policy="default-src 'none'").headers
    assert headers["Cache-Control"] == "private, no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; form-action 'none'; frame-ancestors 'none'"
