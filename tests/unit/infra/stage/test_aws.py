"""AWS clients, and AWS's errors explained in one sentence."""

import json
import os
from pathlib import Path

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)
from botocore.session import Session

from infra.stage import aws
from tests.support.aws_stand_in import Answer, aws_stand_in

REGION = "eu-central-1"


def refusal(code: str, message: str = "", operation: str = "DescribeStacks") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def test_missing_local_run_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    sentence = aws.explain(EndpointConnectionError(endpoint_url="http://127.0.0.1:1/"))
    assert sentence == "nothing listens at http://127.0.0.1:1; is the local run up?"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoCredentialsError(), "set AWS_PROFILE"),
        (NoRegionError(), "set AWS_REGION"),
        (EndpointConnectionError(endpoint_url="https://x"), "check the network connection and the name of the region"),
        (ReadTimeoutError(endpoint_url="https://x"), "AWS: "),
        (refusal("ExpiredToken", "it expired"), "AWS does not accept these credentials (ExpiredToken): it expired"),
        (
            refusal("AccessDenied", "User is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k"),
            "these credentials do not allow s3:GetObject on arn:aws:s3:::b/k: allow that action, then",
        ),
        (refusal("403", operation="HeadBucket"), "these credentials do not allow s3:ListBucket: allow"),
        (refusal("Throttling"), "AWS refused DescribeStacks: Throttling"),
    ],
)
def test_error_is_explained_with_its_remedy(
    error: BotoCoreError | ClientError, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)  # of a local run
    assert sentence in aws.explain(error)


@pytest.mark.parametrize(
    ("url", "embedded"),
    [
        ("", False),
        ("http://127.0.0.1:4566", True),
        ("https://dynamodb.eu-central-1.amazonaws.com", False),
        ("https://vpce-1.dynamodb.cn-north-1.vpce.amazonaws.com.cn", False),
        ("https://amazonaws.com.example", True),
    ],
)
def test_aws_is_embedded_when_the_endpoint_is_not_amazons(
    monkeypatch: pytest.MonkeyPatch, url: str, *, embedded: bool
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert aws.is_embedded() is embedded


def test_region_that_lacks_a_service_is_found_out() -> None:
    assert aws.missing_services(REGION, ("dynamodb", "lambda")) == []
    assert aws.missing_services(REGION, ("no-such-service",)) == ["no-such-service"]
    assert aws.missing_services("xx-nowhere-9", ("no-such-service",)) == []  # botocore may be older than the region


def test_write_is_repeated_after_a_transaction_conflict() -> None:
    conflict = Answer(json.dumps({"__type": aws.TRANSACTION_CONFLICT}), 400)
    write = {"TableName": "t", "Key": {"id": {"S": "1"}}}
    answers = iter([conflict, Answer("{}"), conflict])
    with aws_stand_in(lambda _: next(answers)):
        aws.retry_conflicts(aws.client("dynamodb")).delete_item(**write)
        with pytest.raises(ClientError, match=aws.TRANSACTION_CONFLICT):  # botocore alone does not repeat it
            aws.client("dynamodb").delete_item(**write)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No profile, region or keys."""
    for name in ("AWS_PROFILE", *aws.KEY_VARIABLES, *aws.REGION_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "option", "region"),
    [
        ({"AWS_REGION": "eu-west-1"}, None, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, None, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, None, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1"}, "eu-central-1", "eu-central-1"),
    ],
)
def test_region_of_option_and_of_either_variable_is_used(
    environment: pytest.MonkeyPatch, variables: dict[str, str], option: str | None, region: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    with aws.selected(profile=None, region=option):
        assert Session().get_config_variable("region") == region
    assert {name: os.environ[name] for name in aws.REGION_VARIABLES if name in os.environ} == variables


def test_named_profile_takes_precedence_over_keys_of_the_environment(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = of-work\naws_secret_access_key = x\n")
    environment.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    environment.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    environment.setenv("AWS_ACCESS_KEY_ID", "of-environment")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "y")
    assert aws.profiles() == ["work"]
    with aws.selected(profile="work", region=None):
        assert Session().get_credentials().access_key == "of-work"
    assert Session().get_credentials().access_key == "of-environment"
    assert "AWS_PROFILE" not in os.environ


def test_refused_head_request_names_the_iam_action() -> None:
    """The response has no body, so that AWS does not name the action."""
    error = ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")
    assert "s3:ListBucket" in aws.explain(error)
