"""Commands that cannot run say why in one sentence, and change nothing."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.commands import main
from infra.deploy.change_sets import CloudStack
from infra.deploy.errors import DeployError
from infra.deploy.git import read_checkout
from infra.local.processes import PROJECT
from tests.support.aws_stand_in import ENVIRONMENT, answering, aws_environment, refusing
from tests.support.command_line import run_here
from tests.support.git import git

DENIED = (
    "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: cloudformation:DescribeStacks on resource: "
    "arn:aws:cloudformation:eu-central-1:123456789012:stack/passwire-dev/* because no identity-based policy allows it"
)


@pytest.fixture(autouse=True)
def _no_aws(tmp_path: Path) -> Iterator[None]:
    """No credentials and no region, neither in the environment nor elsewhere."""
    files = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    with aws_environment({"AWS_EC2_METADATA_DISABLED": "true", **files}):
        yield


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that fails; returns its error."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["infra", *arguments])
        assert main() == 1
        sentence = capsys.readouterr().err.strip().splitlines()[-1]
        assert sentence.startswith("error: ")
        return sentence

    return run


def test_missing_region_is_reported(monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    assert "set AWS_REGION" in says("outputs", "--stage", "dev")


def test_missing_credentials_are_reported(monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert "no AWS credentials" in says("outputs", "--stage", "dev")


def test_invalid_region_is_named(says: Callable[..., str]) -> None:
    wrong = "eu-cental-1"
    with aws_environment({**ENVIRONMENT, "AWS_DEFAULT_REGION": wrong, "AWS_REGION": wrong, "AWS_MAX_ATTEMPTS": "1"}):
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
def test_refusal_by_aws_names_the_action_or_the_code(
    says: Callable[..., str], code: str, message: str, sentence: str
) -> None:
    with refusing(code, message):
        assert sentence in says("outputs", "--stage", "dev")


def test_unknown_parameter_error_lists_the_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("deploy", "--stage", "dev", "--yes", "--set", "WebServiceURL=https://x") == 2
    assert "WebServiceUrl" in capsys.readouterr().err


def test_deploy_without_terminal_needs_yes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run_here("deploy", "--stage", "dev") == 2
    assert "--yes" in capsys.readouterr().err


def test_uncommitted_changes_are_in_the_name_of_the_checkout(tmp_path: Path) -> None:
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


def test_deploy_with_yes_refuses_uncommitted_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Callable[..., str]
) -> None:
    """The repository of this test has another app.py than the checkout."""
    git(tmp_path, "init", "-q")
    (tmp_path / "app.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    git(tmp_path, "config", "status.showUntrackedFiles", "no")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(PROJECT))
    assert "uncommitted changes (app.py)" in says("deploy", "--stage", "dev", "--yes")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("UPDATE_IN_PROGRESS", "another deployment of stage dev is running"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name passwire-dev"),
        ("DELETE_FAILED", "passwire destroy --stage dev"),
    ],
)
def test_error_of_a_stuck_stack_names_the_remedy(status: str, sentence: str) -> None:
    with answering(DESCRIBED.format(status=status)), pytest.raises(DeployError, match=sentence):
        CloudStack("passwire-dev", stage="dev").refuse_if_busy()


DESCRIBED = (
    '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks>'
    "<member><StackName>passwire-dev</StackName><StackStatus>{status}</StackStatus>"
    "<CreationTime>2026-11-25T00:00:00Z</CreationTime></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
)
