"""The GitHub Actions workflow and the IAM roles that it assumes."""

import json
import re
import shlex
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from infra.core.errors import InvalidValueError
from infra.deploy.github import ISSUER, ROLES, WORKFLOW, DeploymentTarget, Pipeline, role_name, roles_template, workflow
from infra.deploy.permissions.commands import DIFF, DOCTOR, deployer_grants
from infra.deploy.permissions.grants import MANAGED_POLICY_CHARACTERS, policies, size
from infra.deploy.permissions.resources import ROLES as ROLES_OF_STAGE
from infra.stage.errors import StageError
from tests.support.command_line import run_here
from tests.support.reference import command_tree

PIPELINE = Pipeline(
    repository="acme/passes",
    branch="main",
    region="eu-central-1",
    targets=[
        DeploymentTarget("dev", "1" * 12),
        DeploymentTarget("staging", "2" * 12),
        DeploymentTarget("prod", "3" * 12),
    ],
)
ARGUMENTS = ("--repository", "acme/passes", "--stage", "dev=111122223333", "--region", "eu-central-1")
READ_ONLY = re.compile(r"\w+:(Get|BatchGet|List|Describe|Query|Scan)")


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow(PIPELINE))["jobs"]
    return found


@pytest.fixture(scope="module")
def roles() -> dict[str, Any]:
    return roles_template("acme/passes")


def steps(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in jobs.values() for step in job["steps"]]


def test_workflow_has_the_jobs_of_every_stage_in_order(jobs: dict[str, Any]) -> None:
    assert list(jobs) == [
        "check",
        *(f"diff-{target.stage}" for target in PIPELINE.targets),
        *(f"deploy-{target.stage}" for target in PIPELINE.targets),
    ]
    assert [jobs[f"deploy-{name}"]["needs"] for name in ("dev", "staging", "prod")] == [
        "check",
        "deploy-dev",
        "deploy-staging",
    ]
    for target in PIPELINE.targets:
        assert jobs[f"deploy-{target.stage}"]["environment"] == target.stage
        commands = [step["run"] for step in jobs[f"deploy-{target.stage}"]["steps"] if "run" in step]
        assert commands[-2:] == [
            f".venv/bin/passwire deploy --stage {target.stage} --yes",
            f".venv/bin/passwire doctor --stage {target.stage}",
        ]


def test_pull_request_gets_the_role_that_cannot_deploy(jobs: dict[str, Any]) -> None:
    for name, job in jobs.items():
        assumed = {
            step["with"]["role-to-assume"].rpartition("-")[2] for step in job["steps"] if "role-to-" in str(step)
        }
        kind = name.partition("-")[0]
        assert assumed == {"check": set(), "diff": {"diff"}, "deploy": {"deploy", "doctor"}}[kind]
        assert ("environment" in job) == (kind == "deploy")
        assert {"check": "", "diff": "'pull_request'", "deploy": "'push'"}[kind] in job.get("if", "")


def test_workflow_has_minimal_permissions(jobs: dict[str, Any]) -> None:
    assert yaml.safe_load(workflow(PIPELINE))["permissions"] == {"contents": "read"}
    for name, job in jobs.items():
        expected = None if name == "check" else {"contents": "read", "id-token": "write"}
        assert job.get("permissions") == expected, name
    checkouts = [step for step in steps(jobs) if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(jobs)
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_action_is_pinned_to_a_commit(jobs: dict[str, Any]) -> None:
    used = [step["uses"] for step in steps(jobs) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)
    assert len(re.findall(r"uses: \S+@\S+ # v\d+\.\d+\.\d+$", workflow(PIPELINE), re.MULTILINE)) == len(used)


def test_every_command_of_the_workflow_exists(jobs: dict[str, Any]) -> None:
    tree = command_tree()
    lines = [line for step in steps(jobs) for line in re.findall(r"passwire ([^;>|\n]+)", step.get("run", ""))]
    assert len(lines) == 1 + 3 + 2 * 3
    for line in lines:
        words = shlex.split(line)
        name = next((n for n in (" ".join(words[:2]), words[0]) if n in tree), None)
        assert name is not None, line
        options = {option for parameter in tree[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
    makefile = (Path(__file__).parents[4] / "Makefile").read_text()
    targets = {t for step in steps(jobs) for t in step.get("run", "").split() if step["run"].startswith("make ")}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets - {"make"})


def test_roles_trust_only_the_repository_and_its_environment(roles: dict[str, Any]) -> None:
    subjects = {}
    for name in ("DiffRole", "DeployRole", "DoctorRole"):
        (trust,) = roles["Resources"][name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert trust["Principal"]["Federated"]["Fn::Sub"].endswith(f":oidc-provider/{ISSUER}")
        (operator,) = trust["Condition"]
        assert operator == "StringEquals"
        assert trust["Condition"][operator][f"{ISSUER}:aud"] == "sts.amazonaws.com"
        subjects[name] = trust["Condition"][operator][f"{ISSUER}:sub"]["Fn::Sub"]
    assert subjects == {
        "DiffRole": "repo:${Repository}:pull_request",
        "DeployRole": "repo:${Repository}:environment:${Stage}",
        "DoctorRole": "repo:${Repository}:environment:${Stage}",
    }


@pytest.mark.parametrize(
    ("name", "grants"), [("DiffRole", DIFF), ("DeployRole", deployer_grants()), ("DoctorRole", DOCTOR)]
)
def test_role_has_exactly_the_grants_of_its_command(roles: dict[str, Any], name: str, grants: list[Any]) -> None:
    attached = [ref["Ref"] for ref in roles["Resources"][name]["Properties"]["ManagedPolicyArns"]]
    documents = [roles["Resources"][policy]["Properties"]["PolicyDocument"] for policy in attached]
    assert documents == list(policies(grants))
    assert [d for d in documents if size(d) > MANAGED_POLICY_CHARACTERS] == []
    assert len(documents) <= 10, "IAM's limit per role"


def test_doctors_role_only_reads() -> None:
    assert [action for grant in DOCTOR for action in grant.actions if not READ_ONLY.match(action)] == ["apigateway:GET"]


def test_deployer_cannot_change_its_own_role() -> None:
    pattern = ROLES_OF_STAGE.rpartition("/")[2]
    assert fnmatchcase("passwire-${Stage}-PushRole-1", pattern.replace("${Stage}", "$[{]Stage}"))
    assert not fnmatchcase(role_name("${Stage}", "deploy"), pattern.replace("${Stage}", "$[{]Stage}"))


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_role_arn_is_in_the_partition_of_the_region(region: str, partition: str) -> None:
    assert DeploymentTarget("dev", "1" * 12).role("diff", region).startswith(f"arn:{partition}:iam::")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repository": "acme"}, "repository 'acme'"),
        ({"repository": "acme/passes\n  evil: true"}, "repository"),
        ({"branch": 'main"]'}, "branch"),
        ({"region": ""}, "region ''"),
        ({"targets": []}, "give each stage once"),
        ({"targets": [DeploymentTarget("dev", "1" * 12)] * 2}, "give each stage once"),
    ],
)
def test_invalid_value_is_refused(change: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"repository": "acme/passes", "branch": "main", "region": "eu-central-1"}
    with pytest.raises(InvalidValueError, match=message):
        Pipeline(**{**values, "targets": PIPELINE.targets, **change})


@pytest.mark.parametrize("text", ["dev", "dev=1234", "=111122223333", "Dev=111122223333", "deploy=111122223333"])
def test_invalid_stage_is_refused(text: str) -> None:
    with pytest.raises((InvalidValueError, StageError), match="stage"):
        DeploymentTarget.parse(text)


def test_command_writes_both_files_and_replaces_others_only_with_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*more: str) -> int:
        return run_here("ci", "github", *ARGUMENTS, "--out", str(tmp_path), *more)

    assert run("--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == [str(tmp_path / WORKFLOW), str(tmp_path / ROLES)]
    assert [c for c in printed["commands"] if "Stage=dev CreateProvider=yes" in c] == printed["commands"]
    assert run() == 0, "the same content"
    (tmp_path / WORKFLOW).write_text("own")
    assert run() == 2
    assert (tmp_path / WORKFLOW).read_text() == "own"
    assert run("--yes") == 0
    assert (tmp_path / WORKFLOW).read_text() != "own"
