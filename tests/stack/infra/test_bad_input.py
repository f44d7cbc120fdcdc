"""What keeps a deployment from happening is one clear sentence, and nothing is half made."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.commands import main
from infra.deploy.change_sets import CloudStack
from infra.deploy.errors import DeployError
from infra.deploy.git import Checkout, read_checkout
from tests.support.aws_refusing import answering, refusing
from tests.support.command_line import infra

WHERE = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}
DENIED = (
    "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: cloudformation:DescribeStacks on resource: "
    "arn:aws:cloudformation:eu-central-1:123456789012:stack/passwire-dev/* because no identity-based policy allows it"
)


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, no region, nothing to reach."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence of a command that cannot do it."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
        monkeypatch.setattr("sys.argv", ["infra", *arguments])
        assert main() == 1
        sentence = capsys.readouterr().err.strip().splitlines()[-1]
        assert sentence.startswith("error: ")
        return sentence

    return run


def test_no_region(monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    assert "set AWS_REGION" in says("outputs", "--stage", "dev")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert "no AWS credentials" in says("outputs", "--stage", "dev")


def test_a_region_that_is_none(monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]) -> None:
    for name, value in {**WHERE, "AWS_DEFAULT_REGION": "eu-cental-1", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert "the name of the region, 'eu-cental-1'" in says("outputs", "--stage", "dev")


@pytest.mark.parametrize(
    ("code", "message", "sentence"),
    [
        (
            "AccessDenied",
            DENIED,
            "these credentials do not allow cloudformation:DescribeStacks on arn:aws:cloudformation",
        ),
        ("ExpiredToken", "The security token is expired", "AWS does not accept these credentials (ExpiredToken)"),
        (
            "InvalidClientTokenId",
            "The token is invalid",
            "AWS does not accept these credentials (InvalidClientTokenId)",
        ),
    ],
)
def test_a_refusal_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, says: Callable[..., str], code: str, message: str, sentence: str
) -> None:
    with refusing(code, message) as url:
        for name, value in {**WHERE, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        assert sentence in says("outputs", "--stage", "dev")


def test_an_unknown_parameter_names_those_there_are(says: Callable[..., str]) -> None:
    assert "WebServiceUrl" in says("deploy", "--stage", "dev", "--yes", "--set", "WebServiceURL=https://x")


def test_nobody_to_ask() -> None:
    done = infra("deploy", "--stage", "dev")
    assert done.returncode == 2
    assert "--yes" in done.stderr


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True)


def test_a_dirty_checkout_is_named_and_noted(tmp_path: Path) -> None:
    assert read_checkout(tmp_path / "nowhere").name == "unknown"
    git(tmp_path, "init", "-q")
    (tmp_path / "app.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    clean = read_checkout(tmp_path)
    assert clean.warning == ""
    (tmp_path / "app.py").write_text("2")
    dirty = read_checkout(tmp_path)
    assert dirty.name == f"{clean.name}-dirty"
    assert "app.py" in dirty.warning


def test_a_script_does_not_deploy_what_nobody_committed(
    monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]
) -> None:
    monkeypatch.setattr("infra.commands.stack.read_checkout", lambda: Checkout("abc", ("app.py",)))
    assert "uncommitted changes (app.py)" in says("deploy", "--stage", "dev", "--yes")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("UPDATE_IN_PROGRESS", "another deployment of stage dev is running"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name passwire-dev"),
        ("DELETE_FAILED", "python -m infra destroy --stage dev"),
    ],
)
def test_a_stack_that_is_stuck_says_what_to_do(monkeypatch: pytest.MonkeyPatch, status: str, sentence: str) -> None:
    with answering(DESCRIBED.format(status=status), status=200) as url:
        for name, value in {**WHERE, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DeployError, match=sentence):
            CloudStack("passwire-dev", stage="dev").refuse_if_busy()


DESCRIBED = (
    '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks>'
    "<member><StackName>passwire-dev</StackName><StackStatus>{status}</StackStatus>"
    "<CreationTime>2026-11-25T00:00:00Z</CreationTime></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
)
