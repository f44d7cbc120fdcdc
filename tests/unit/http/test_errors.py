"""Tests of the table of statuses and of the two error handlers."""

import pytest
from chalice.app import Response

from chalicelib.core.errors import ConfigurationError, PasswireError, RefusedError, TransientError
from chalicelib.core.links import LinkError, LinkExpiredError
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.http.errors import (
    BadRequestError,
    TooLargeError,
    View,
    handle_device_errors,
    handle_page_errors,
    status_of,
)
from chalicelib.passes.personalization import AlreadyPersonalizedError, NotPersonalizableError, PersonalizationError

STATUSES: list[tuple[PasswireError, int]] = [
    (UnauthorizedError(), 401),
    (BadRequestError("x"), 400),
    (PersonalizationError("x"), 400),
    (NotPersonalizableError(), 404),
    (LinkError(), 404),
    (LinkExpiredError("x"), 410),
    (AlreadyPersonalizedError(), 409),
    (TooLargeError("x"), 413),
    (TransientError("x"), 503),
    (ConfigurationError("x"), 500),
    (RefusedError("x"), 500),
]


def view_that_raises(error: PasswireError) -> View:
    def view() -> Response:
        raise error

    return view


def english() -> list[str]:
    return ["en"]


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda value: type(value).__name__)
def test_status_of_error(error: PasswireError, status: int) -> None:
    assert status_of(error).value == status


@pytest.mark.parametrize(("error", "status"), STATUSES, ids=lambda value: type(value).__name__)
def test_both_handlers_answer_with_the_same_status(error: PasswireError, status: int) -> None:
    view = view_that_raises(error)
    assert handle_device_errors(view)().status_code == status
    assert handle_page_errors(english)(view)().status_code == status


@pytest.mark.parametrize("error", [TransientError("secret detail"), ConfigurationError("secret detail")])
def test_failure_is_logged_and_its_detail_is_not_sent(error: PasswireError, capsys: pytest.CaptureFixture[str]) -> None:
    view = view_that_raises(error)
    for handle_errors in (handle_device_errors, handle_page_errors(english)):
        assert "secret detail" not in str(handle_errors(view)().body)
        assert "secret detail" in capsys.readouterr().out


def test_device_reads_what_is_wrong_with_its_request() -> None:
    body = handle_device_errors(view_that_raises(BadRequestError("the body is not JSON")))().body
    assert body == {"Code": "BadRequestError", "Message": "the body is not JSON"}


def test_page_repeats_nothing_of_a_refusal() -> None:
    assert "detail" not in handle_page_errors(english)(view_that_raises(LinkExpiredError("detail")))().body


def test_page_with_503_says_when_to_try_again() -> None:
    response = handle_page_errors(english)(view_that_raises(TransientError("x")))()
    assert response.headers["Retry-After"] == "60"


def test_page_of_a_deleted_pass_equals_page_of_an_unknown_link() -> None:
    unknown, deleted = (
        handle_page_errors(english)(view_that_raises(error))().body for error in (LinkError(), LinkExpiredError("x"))
    )
    assert unknown == deleted


def test_other_exceptions_are_not_handled() -> None:
    def view() -> Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handle_device_errors(view)()


def test_response_of_a_view_is_returned_unchanged() -> None:
    response = Response("")
    assert handle_device_errors(lambda: response)() is response


def test_page_is_in_the_reader_s_language() -> None:
    response = handle_page_errors(lambda: ["de-AT", "en"])(view_that_raises(LinkError()))()
    assert '<html lang="de" dir="ltr">' in response.body
    assert "diesem Link gibt es keine Karte" in response.body
