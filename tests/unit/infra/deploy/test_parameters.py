"""Stack parameters from the command line."""

import pytest

from infra.deploy.errors import DeployError
from infra.deploy.parameters import read_parameters


def test_options_and_set_are_merged() -> None:
    found = read_parameters(["ThrottleRate=500", "ApnsCa=a=b"], apns_push_type="alert")
    assert found == {"ThrottleRate": "500", "ApnsCa": "a=b", "ApnsPushType": "alert"}


def test_set_overrides_the_option() -> None:
    found = read_parameters(["WebServiceUrl=https://a.example"], web_service_url="https://b.example")
    assert found == {"WebServiceUrl": "https://a.example"}


@pytest.mark.parametrize("text", ["ThrottleRate", "Throttlerate=1", "=1", "Stage=prod", "Commit=x", "ApiId=x"])
def test_text_that_names_no_parameter_is_refused_with_the_valid_names(text: str) -> None:
    with pytest.raises(DeployError, match=rf"--set {text}: give NAME=VALUE with one of the names .*ThrottleRate"):
        read_parameters([text])


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("ThrottleRate=0", "a number of at least 1"),
        ("ThrottleRate=many", "a number of at least 1"),
        ("ThrottleRate=nan", "a number of at least 1"),
        ("ThrottleRate=inf", "a number of at least 1"),
        ("ThrottleRate=", "a number of at least 1"),
        ("ThrottleBurst=1.5", "a whole number of at least 1"),
        ("PushReservedConcurrency=-1", "a whole number of at least 0"),
        ("DeletionGraceMinutes=14", "a whole number from 15 to 10080"),
        ("Tracing=yes", "one of off, on"),
        ("ApnsPushType=voip", r"one of \(empty\), alert, background"),
    ],
)
def test_value_that_the_template_does_not_allow_is_refused(text: str, allowed: str) -> None:
    with pytest.raises(DeployError, match=f"--set {text}: must be {allowed}"):
        read_parameters([text])


def test_numbers_in_their_range_are_taken_as_they_are_given() -> None:
    texts = ["ThrottleRate=2.5", "DeletionGraceMinutes=10080", "PushReservedConcurrency=0", "Tracing=on"]
    assert [f"{name}={value}" for name, value in read_parameters(texts).items()] == texts


def test_url_that_phones_cannot_call_is_refused() -> None:
    with pytest.raises(DeployError, match="https only"):
        read_parameters([], web_service_url="http://passes.example.com")
