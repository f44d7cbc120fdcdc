"""One stack, one command: package, upload, change set, execute, follow. The same for AWS and for the embedded one.

Where it deploys to is boto3's to say: credentials, region and `AWS_ENDPOINT_URL` of the environment.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.stack.package import Package, build_package

STAGE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
KEPT_TYPES = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""What a deployment must never delete or replace: it holds what cannot be made again."""
POLL_SECONDS = 0.5
MAX_WAIT_SECONDS = 1800.0


class DeployError(Exception):
    """A deployment that did not happen, or was rolled back; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a change set: what happens to which resource."""

    action: str
    logical_id: str
    resource_type: str
    replacement: bool

    def __str__(self) -> str:
        return f"{self.action:8} {self.logical_id} ({self.resource_type}){' REPLACED' if self.replacement else ''}"


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stage, by its outputs."""

    stage: str
    outputs: Mapping[str, str]

    @property
    def api_url(self) -> str:
        return self.outputs["ApiUrl"]

    @property
    def tables(self) -> dict[str, str]:
        """Table names by role."""
        roles = ("passes", "versions", "registrations", "devices")
        return {role: self.outputs[f"{role.title()}TableName"] for role in roles}

    @property
    def queues(self) -> dict[str, str]:
        """Queue URLs by role."""
        return {
            "push": self.outputs["PushQueueUrl"],
            "dead_letter": self.outputs["DeadLetterQueueUrl"],
            "stream_failure": self.outputs["StreamFailureQueueUrl"],
        }

    @property
    def functions(self) -> dict[str, str]:
        """Names of the Lambda functions by role."""
        return {role: self.outputs[f"{role.title()}FunctionName"] for role in ("api", "push", "drain")}


class Deployer:
    """Deploys one stage.

    Args:
        stage: lower case letters, digits and hyphens.
        say: takes a line of progress.

    Raises:
        DeployError: the stage's name is none.
    """

    def __init__(self, stage: str, *, say: Callable[[str], None]) -> None:
        if not STAGE_NAME.fullmatch(stage):
            raise DeployError(f"stage {stage!r}: use up to 32 lower case letters, digits and hyphens, a letter first")
        self.stage = stage
        self.stack_name = f"passwire-{stage}"
        self._say = say
        config = Config(retries={"mode": "standard"}, s3={"addressing_style": "path"})
        self._cloudformation = boto3.client("cloudformation", config=config)
        self._s3 = boto3.client("s3", config=config)
        self._sts = boto3.client("sts", config=config)

    def deploy(
        self,
        *,
        work: Path,
        parameters: Mapping[str, str],
        confirm: Callable[[list[Change]], bool],
    ) -> Stack:
        """Bring the stage to the checkout's state.

        Args:
            work: a folder for what is packaged.
            parameters: of the template, those that differ from their defaults.
            confirm: is shown the changes and says whether to go on; not asked where there is none.

        Raises:
            PackagingError: the app could not be packaged.
            DeployError: AWS refused, the change was declined, a table would be lost, or it was rolled back.
        """
        self._say(f"packaging stage {self.stage}")
        package = build_package(self.stage, work)
        try:
            template = self._upload(package)
            self._change(template, {"Stage": self.stage, **parameters}, confirm)
            return self.describe()
        except (ClientError, BotoCoreError) as error:
            raise DeployError(f"AWS: {error}") from error

    def describe(self) -> Stack:
        """The stage as it is deployed.

        Raises:
            DeployError: it is not.
        """
        stack = self._stack()
        if stack is None:
            raise DeployError(f"stage {self.stage} is not deployed; run: python -m infra deploy --stage {self.stage}")
        return Stack(self.stage, {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])})

    def _upload(self, package: Package) -> dict[str, Any]:
        """Put the code where CloudFormation fetches it, under a name that its content has."""
        code = package.zip_file.read_bytes()
        bucket = f"passwire-deploy-{self._sts.get_caller_identity()['Account']}-{self._s3.meta.region_name}"
        key = f"{self.stage}/{hashlib.sha256(code).hexdigest()}.zip"
        self._ensure_bucket(bucket)
        self._say(f"uploading {len(code) / 1e6:.1f} MB of code")
        self._s3.put_object(Bucket=bucket, Key=key, Body=code)
        template = json.loads(json.dumps(package.template))
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
        return dict(template)

    def _ensure_bucket(self, bucket: str) -> None:
        try:
            self._s3.head_bucket(Bucket=bucket)
        except ClientError:
            region = self._s3.meta.region_name
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            self._s3.create_bucket(Bucket=bucket, **where)
            self._s3.put_public_access_block(
                Bucket=bucket,
                PublicAccessBlockConfiguration=dict.fromkeys(
                    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
                ),
            )

    def _change(
        self, template: dict[str, Any], parameters: dict[str, str], confirm: Callable[[list[Change]], bool]
    ) -> None:
        before = self._stack()
        if before is not None and before["StackStatus"] == "ROLLBACK_COMPLETE":
            raise DeployError(
                f"stack {self.stack_name} is in ROLLBACK_COMPLETE: its first deployment failed and nothing runs; "
                "delete it in CloudFormation and deploy again"
            )
        if before is not None and before["StackStatus"].endswith("_IN_PROGRESS"):
            raise DeployError(
                f"stack {self.stack_name} is {before['StackStatus']}: another deployment runs; wait for it"
            )
        name = f"passwire-{int(time.time() * 1000)}"
        exists = before is not None and before["StackStatus"] != "REVIEW_IN_PROGRESS"
        self._cloudformation.create_change_set(
            StackName=self.stack_name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if exists else "CREATE",
            TemplateBody=json.dumps(template, separators=(",", ":")),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=CAPABILITIES,
        )
        changes = self._changes(name)
        if changes is None:
            self._say("nothing to change")
            return
        if not confirm(changes):
            self._cloudformation.delete_change_set(StackName=self.stack_name, ChangeSetName=name)
            raise DeployError("declined; nothing was changed")
        started = time.time()
        self._cloudformation.execute_change_set(StackName=self.stack_name, ChangeSetName=name)
        self._follow(started)

    def _changes(self, name: str) -> list[Change] | None:
        """What the change set would do; None where that is nothing.

        Raises:
            DeployError: it cannot be made, or would lose a table.
        """
        for described in self._polled(
            lambda: self._cloudformation.describe_change_set(StackName=self.stack_name, ChangeSetName=name)
        ):
            if described["Status"] == "FAILED":
                reason = described.get("StatusReason", "")
                if "didn't contain changes" in reason or "No updates" in reason:
                    self._cloudformation.delete_change_set(StackName=self.stack_name, ChangeSetName=name)
                    return None
                raise DeployError(f"CloudFormation refused the change set: {reason}")
            if described["Status"] == "CREATE_COMPLETE":
                break
        changes = [_change(c["ResourceChange"]) for c in described.get("Changes", [])]
        lost = [c for c in changes if c.resource_type in KEPT_TYPES and (c.replacement or c.action == "Remove")]
        if lost:
            raise DeployError(f"refused: {', '.join(map(str, lost))} would lose data; undo that change of the template")
        return changes

    def _follow(self, started: float) -> None:
        """Say each event until the stack rests.

        Raises:
            DeployError: it was rolled back.
        """
        said: set[str] = set()
        for stack in self._polled(self._stack):
            for event in reversed(self._events()):
                if event["EventId"] not in said and event["Timestamp"].timestamp() >= started - 1:
                    said.add(event["EventId"])
                    self._say_event(event)
            status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
            if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                return
            if not status.endswith("_IN_PROGRESS"):
                raise DeployError(f"stack {self.stack_name} ended as {status}; the events above say why")

    def _say_event(self, event: Mapping[str, Any]) -> None:
        reason = f": {event['ResourceStatusReason']}" if "FAILED" in event["ResourceStatus"] else ""
        self._say(f"{event['ResourceStatus']:24} {event['LogicalResourceId']}{reason}")

    def _events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self._cloudformation.describe_stack_events(StackName=self.stack_name)[
            "StackEvents"
        ]
        return events

    def _stack(self) -> dict[str, Any] | None:
        try:
            stacks = self._cloudformation.describe_stacks(StackName=self.stack_name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                return None
            raise
        return dict(stacks[0]) if stacks and stacks[0]["StackStatus"] != "DELETE_COMPLETE" else None

    def _polled(self, call: Callable[[], Any]) -> Iterator[Any]:
        until = time.monotonic() + MAX_WAIT_SECONDS
        while time.monotonic() < until:
            yield call()
            time.sleep(POLL_SECONDS)
        raise DeployError(
            f"stack {self.stack_name}: no end after {MAX_WAIT_SECONDS / 60:.0f} minutes; look at it in AWS"
        )


def _change(change: Mapping[str, Any]) -> Change:
    return Change(
        action=change["Action"],
        logical_id=change["LogicalResourceId"],
        resource_type=change["ResourceType"],
        replacement=change.get("Replacement") == "True",
    )
