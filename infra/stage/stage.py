"""The handle on a deployed stage: every tool takes a `Stage` and asks it for names, URLs, settings and secrets.

A stage is one deployment of the service, such as `dev`; its name is part of the name of every resource. What is
deployed where is read from the outputs of its CloudFormation stack.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.secrets import Secrets
from chalicelib.settings import Settings
from infra.core.program import command
from infra.stage import aws
from infra.stage.errors import StageError

STAGE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?")
RESERVED_NAMES = {"deploy"}
"""The templates bucket of a stage `deploy` would have the name of the deploy bucket."""
INTERNAL_OUTPUT_PREFIX = "Value"
"""Outputs whose names begin like this carry values for `chalice deploy`, and no name that a person looks for."""
TABLES = ("passes", "versions", "registrations", "devices")
QUEUES = ("push", "dead_letter", "stream_failure", "held_removals")


def check_stage_name(name: str) -> str:
    """Return a stage's name if it is valid.

    Raises:
        StageError: it is not, or it is reserved.
    """
    if not STAGE_NAME.fullmatch(name):
        raise StageError(
            f"stage {name!r}: a name has up to 24 lower case letters, digits and hyphens, "
            "begins with a letter and does not end with a hyphen"
        )
    if name in RESERVED_NAMES:
        raise StageError(
            f"stage {name!r}: its templates bucket would have the name of the bucket that code is deployed from; "
            "choose another name"
        )
    return name


def stack_name(stage: str) -> str:
    """Return the name of a stage's CloudFormation stack."""
    return f"passwire-{stage}"


def describe_stack(name: str) -> dict[str, Any] | None:
    """Return a CloudFormation stack as DescribeStacks describes it, or None if it does not exist or was deleted.

    Args:
        name: the name of the stack, or its id.

    Raises:
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    client = aws.client("cloudformation", Config(retries={"mode": "standard"}))
    try:
        stacks = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if aws.error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return dict(stacks[0]) if stacks and stacks[0]["StackStatus"] != "DELETE_COMPLETE" else None


@dataclass(frozen=True, slots=True)
class DeployedStage:
    """A stage in the list of what is deployed.

    Args:
        name: such as `dev`.
        status: of its CloudFormation stack, such as `UPDATE_COMPLETE`.
        changed_at: when a deployment last changed it.
    """

    name: str
    status: str
    changed_at: datetime


def deployed_stages() -> list[DeployedStage]:
    """Return the stages in the account and region, by name.

    Raises:
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    prefix = stack_name("")
    found: list[DeployedStage] = []
    pages = aws.client("cloudformation", Config(retries={"mode": "standard"})).get_paginator("list_stacks").paginate()
    for page in pages:
        for stack in page.get("StackSummaries", []):
            name = str(stack["StackName"]).removeprefix(prefix)
            if stack["StackName"] == name or not STAGE_NAME.fullmatch(name) or name in RESERVED_NAMES:
                continue
            if stack["StackStatus"] != "DELETE_COMPLETE" and "ParentId" not in stack:
                changed_at = stack.get("LastUpdatedTime", stack["CreationTime"])
                found.append(DeployedStage(name, str(stack["StackStatus"]), changed_at))
    return sorted(found, key=lambda stage: stage.name)


def outputs_of(stack: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a described stack's outputs, internal ones included, as values by name; empty without a stack."""
    return {output["OutputKey"]: output["OutputValue"] for output in (stack or {}).get("Outputs", [])}


@dataclass(frozen=True)
class Stage:
    """A deployed stage.

    Args:
        name: such as `dev`.
        outputs: the outputs of its stack, without internal ones.
    """

    name: str
    outputs: Mapping[str, str]

    @classmethod
    def open(cls, name: str) -> Self:
        """Read what is deployed.

        Raises:
            StageError: the name is not valid, no such stage is deployed, or AWS cannot be asked: without credentials,
                region, permission or network.
        """
        check_stage_name(name)
        try:
            outputs = outputs_of(describe_stack(stack_name(name)))
        except (BotoCoreError, ClientError) as error:
            raise StageError(aws.explain(error)) from error
        if not outputs:
            raise StageError(_not_deployed(name))
        return cls(name, {key: text for key, text in outputs.items() if not key.startswith(INTERNAL_OUTPUT_PREFIX)})

    def output(self, name: str) -> str:
        """Return one output.

        Raises:
            StageError: the stack has no such output.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise StageError(
                f"stage {self.name}: its stack has no output {name}, so another version of Passwire deployed it; "
                f"run: {command('deploy', '--stage', self.name)}"
            ) from None

    @property
    def api_url(self) -> str:
        """The base URL that `/v1/...` follows.

        Raises:
            StageError: `chalice deploy` has not created the API yet, or `finish` has not noted it.
        """
        if "ApiUrl" not in self.outputs:
            raise StageError(
                f"stage {self.name} has no API yet; run: chalice deploy --stage {self.name}, "
                f"then: {command('finish', '--stage', self.name)}"
            )
        return self.outputs["ApiUrl"]

    @property
    def web_service_url(self) -> str:
        """The base URL that passes contain: the configured one, or else that of the API; without a slash at its end.

        Raises:
            StageError: see `settings` and `api_url`.
            ConfigurationError: see `settings`.
        """
        return (self.settings.web_service_url or self.api_url).rstrip("/")

    @property
    def tables(self) -> dict[str, str]:
        """The names of the DynamoDB tables by role: passes, versions, registrations, devices."""
        return {role: self.table(role) for role in TABLES}

    def table(self, role: str) -> str:
        """Return the name of a DynamoDB table.

        Raises:
            StageError: the stack has no such table.
        """
        return self.output(f"{role.title()}TableName")

    @property
    def queues(self) -> dict[str, str]:
        """The URLs of the SQS queues by role: push, dead_letter, stream_failure, held_removals."""
        return {role: self.output(f"{role.title().replace('_', '')}QueueUrl") for role in QUEUES}

    @property
    def functions(self) -> dict[str, str]:
        """The names of the Lambda functions by role: api, push, push_worker, check_certificates."""
        names = {output: name for output, name in self.outputs.items() if output.endswith("FunctionName")}
        return {snake_case(output.removesuffix("FunctionName")): name for output, name in names.items()}

    @property
    def templates_bucket(self) -> str:
        """The name of the S3 bucket of templates."""
        return self.output("TemplatesBucketName")

    @cached_property
    def settings(self) -> Settings:
        """The settings that the deployed functions run with, from the environment of the API function; read once.

        Raises:
            StageError: there is no API function yet.
            ConfigurationError: another version of Passwire deployed the stage.
        """
        return Settings.from_environment(self.variables)

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The environment variables of the deployed API function; read once.

        Raises:
            StageError: there is no API function yet.
        """
        function = self.output("ApiFunctionName")
        configuration = aws.client("lambda").get_function_configuration(FunctionName=function)
        return dict(configuration["Environment"]["Variables"])

    @property
    def secrets(self) -> Secrets:
        """A new reader of this stage's secrets, which caches them as the functions do."""
        return Secrets(stage=self.name)


def _not_deployed(name: str) -> str:
    """Return the message for a stage that does not exist, with those that do."""
    try:
        names = [stage.name for stage in deployed_stages()]
    except (BotoCoreError, ClientError):  # the permission to list them is not needed for anything else
        names = []
    known = f"deployed here: {', '.join(names)}; " if names else ""
    return f"stage {name} is not deployed; {known}to deploy it, run: {command('deploy', '--stage', name)}"


def snake_case(name: str) -> str:
    """Write a logical id in snake case: `PushWorker` as `push_worker`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
