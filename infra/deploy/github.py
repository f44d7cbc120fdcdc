"""Writes a GitHub Actions workflow that deploys stages, and the template of the IAM roles that it assumes.

GitHub signs a token for each job; AWS accepts it in place of stored keys (GitHub, "Configuring OpenID Connect in Amazon
Web Services"). A job for a pull request gets a role that can only show changes. A job that deploys runs in the GitHub
environment with the stage's name, whose protection rules hold it until a person approves.
"""

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infra.core.errors import InvalidValueError
from infra.deploy.change_sets import STAGE_TAG
from infra.deploy.permissions.commands import DIFF, DOCTOR, deployer_grants
from infra.deploy.permissions.grants import policies
from infra.stage.stage import STAGE_NAME, check_stage_name

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
WORKFLOW = ".github/workflows/passwire.yml"
ROLES = ".github/passwire-roles.json"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
ACCOUNT = re.compile(r"\d{12}")
REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d")
PYTHON = "3.13"
ACTIONS = {
    "actions/checkout": ("de0fac2e4500dabe0009e67214ff5f5447ce83dd", "v6.0.2"),
    "actions/setup-python": ("a309ff8b426b58ec0e2a45f0f869d46889d02405", "v6.2.0"),
    "aws-actions/configure-aws-credentials": ("61815dcd50bd041e203e49132bacad1fd04d2708", "v5.1.1"),
}
"""Commits of actions, with their versions: a tag can be moved to other code (GitHub, "Secure use reference")."""


@dataclass(frozen=True, slots=True)
class DeploymentTarget:
    """A stage and the account that it is deployed to."""

    stage: str
    account: str

    @classmethod
    def parse(cls, text: str) -> "DeploymentTarget":
        """Read `STAGE=ACCOUNT`.

        Raises:
            InvalidValueError, StageError: the text has another form.
        """
        stage, equals, account = text.partition("=")
        if not equals or not ACCOUNT.fullmatch(account):
            raise InvalidValueError(f"stage {text!r}: give NAME=ACCOUNT, such as dev=111122223333")
        return cls(check_stage_name(stage), account)

    def role(self, kind: str, region: str) -> str:
        """Return the ARN of a role: `diff`, `deploy` or `doctor`."""
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(re.split(r"-(?!gov)", region)[0], "aws")
        return f"arn:{partition}:iam::{self.account}:role/{role_name(self.stage, kind)}"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages that a workflow deploys, and from where.

    Args:
        repository: `OWNER/NAME` on GitHub.
        branch: the branch that is deployed.
        region: of all stages.
        targets: the stages, in the order in which they are deployed.

    Raises:
        InvalidValueError: a value has another form, or a stage is given twice.
    """

    repository: str
    branch: str
    region: str
    targets: Sequence[DeploymentTarget]

    def __post_init__(self) -> None:
        for name, value, form, example in (
            ("repository", self.repository, REPOSITORY, "acme/passes"),
            ("branch", self.branch, BRANCH, "main"),
            ("region", self.region, REGION, "eu-central-1"),
        ):
            if not form.fullmatch(value):
                raise InvalidValueError(f"{name} {value!r}: give a name such as {example}")
        stages = [target.stage for target in self.targets]
        if not stages or len(set(stages)) < len(stages):
            raise InvalidValueError("give each stage once, in the order in which they are deployed")


def role_name(stage: str, kind: str) -> str:
    """Return the name of a role, which the deployer itself may not change: its own roles begin with `passwire-`."""
    return f"github-passwire-{stage}-{kind}"


def roles_template(repository: str) -> dict[str, Any]:
    """Return the CloudFormation template of the roles of one stage, and of GitHub's identity provider.

    Args:
        repository: the default of the parameter `Repository`.
    """
    resources: dict[str, Any] = {
        "Provider": {
            "Type": "AWS::IAM::OIDCProvider",
            "Condition": "CreatesProvider",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {"Url": f"https://{ISSUER}", "ClientIdList": [AUDIENCE]},
        }
    }
    for name, kind, subject, grants in (
        ("Diff", "diff", "pull_request", DIFF),
        ("Deploy", "deploy", "environment:${Stage}", deployer_grants()),
        ("Doctor", "doctor", "environment:${Stage}", DOCTOR),
    ):
        documents = list(policies(grants))
        names = [f"{name}Policy{number + 1}" for number in range(len(documents))]
        resources[f"{name}Role"] = _role(kind, subject, names)
        for policy, document in zip(names, documents, strict=True):
            resources[policy] = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Roles with which GitHub Actions shows the changes of a Passwire stage, deploys and checks it",
        "Parameters": {
            "Stage": {"Type": "String", "AllowedPattern": STAGE_NAME.pattern},
            "Repository": {"Type": "String", "Default": repository, "AllowedPattern": REPOSITORY.pattern},
            "CreateProvider": {
                "Type": "String",
                "AllowedValues": ["yes", "no"],
                "Default": "yes",
                "Description": "no if the account has an identity provider for GitHub Actions: it can have only one",
            },
        },
        "Conditions": {"CreatesProvider": {"Fn::Equals": [{"Ref": "CreateProvider"}, "yes"]}},
        "Resources": resources,
        "Outputs": {
            f"{name}RoleArn": {"Value": {"Fn::GetAtt": [f"{name}Role", "Arn"]}} for name in ("Diff", "Deploy", "Doctor")
        },
    }


def _role(kind: str, subject: str, managed: Sequence[str]) -> dict[str, Any]:
    provider = "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/" + ISSUER
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": {"Fn::Sub": provider}},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": AUDIENCE,
                f"{ISSUER}:sub": {"Fn::Sub": f"repo:${{Repository}}:{subject}"},
            }
        },
    }
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": {"Fn::Sub": role_name("${Stage}", kind)},
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "ManagedPolicyArns": [{"Ref": name} for name in managed],
            "Tags": [{"Key": STAGE_TAG, "Value": {"Ref": "Stage"}}],
        },
    }


def workflow(pipeline: Pipeline) -> str:
    """Return the workflow, as YAML."""
    jobs = [_check(), *(_diff(pipeline, target) for target in pipeline.targets)]
    before = "check"
    for target in pipeline.targets:
        jobs.append(_deploy(pipeline, target, after=before))
        before = f"deploy-{target.stage}"
    body = "\n".join(jobs)
    return HEAD.format(branch=pipeline.branch) + textwrap.indent(body, "  ")


HEAD = """\
# Written by `passwire ci github`, which writes it again.
# Checks every change; on a pull request shows what it would change; deploys what is on {branch}, stage by stage.
# A stage waits for the approval that its environment requires (Settings, Environments).
name: passwire

on:
  pull_request:
  push:
    branches: ["{branch}"]

permissions:
  contents: read

jobs:
"""


def _uses(action: str) -> str:
    commit, version = ACTIONS[action]
    return f"- uses: {action}@{commit} # {version}"


def _set_up() -> str:
    return f"""\
    {_uses("actions/checkout")}
      with:
        persist-credentials: false
    {_uses("actions/setup-python")}
      with:
        python-version: "{PYTHON}"
    - run: make install
"""


def _assume(role: str, region: str) -> str:
    return f"""\
    {_uses("aws-actions/configure-aws-credentials")}
      with:
        role-to-assume: {role}
        aws-region: {region}
"""


def _check() -> str:
    return f"""\
check:
  runs-on: ubuntu-24.04
  timeout-minutes: 20
  steps:
{_set_up()}\
    - run: make lint types imports template test-unit
    - run: for folder in chalicelib/templates/*.pass; do .venv/bin/passwire template check "$folder"; done
"""


def _diff(pipeline: Pipeline, target: DeploymentTarget) -> str:
    return f"""\
diff-{target.stage}:
  # GitHub gives no token to pull requests from forks.
  if: github.event_name == 'pull_request' && github.event.pull_request.head.repo.full_name == github.repository
  needs: check
  runs-on: ubuntu-24.04
  timeout-minutes: 20
  permissions:
    contents: read
    id-token: write
  steps:
{_set_up()}\
{_assume(target.role("diff", pipeline.region), pipeline.region)}\
    - name: Show what would change in {target.stage}
      run: |
        .venv/bin/passwire diff --stage {target.stage} > changes.txt || test $? -eq 3
        {{ echo 'Changes of {target.stage}:'; echo '```'; cat changes.txt; echo '```'; }} >> "$GITHUB_STEP_SUMMARY"
"""


def _deploy(pipeline: Pipeline, target: DeploymentTarget, *, after: str) -> str:
    return f"""\
deploy-{target.stage}:
  if: github.event_name == 'push'
  needs: {after}
  runs-on: ubuntu-24.04
  timeout-minutes: 60
  environment: {target.stage}
  concurrency:
    group: passwire-{target.stage}
    cancel-in-progress: false
  permissions:
    contents: read
    id-token: write
  steps:
{_set_up()}\
{_assume(target.role("deploy", pipeline.region), pipeline.region)}\
    - run: .venv/bin/passwire deploy --stage {target.stage} --yes
{_assume(target.role("doctor", pipeline.region), pipeline.region)}\
    - run: .venv/bin/passwire doctor --stage {target.stage}
"""


def written(pipeline: Pipeline) -> dict[str, str]:
    """Return the files, as text by path."""
    return {
        WORKFLOW: workflow(pipeline),
        ROLES: json.dumps(roles_template(pipeline.repository), indent=2) + "\n",
    }


def roles_commands(pipeline: Pipeline) -> list[str]:
    """Return the commands that create the roles, once per stage."""
    seen: set[str] = set()
    lines = []
    for target in pipeline.targets:
        create = "no" if target.account in seen else "yes"
        seen.add(target.account)
        lines.append(
            f"aws cloudformation deploy --region {pipeline.region} --stack-name github-passwire-{target.stage} "
            f"--template-file {ROLES} --capabilities CAPABILITY_NAMED_IAM "
            f"--parameter-overrides Stage={target.stage} CreateProvider={create}"
        )
    return lines
