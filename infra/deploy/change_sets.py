"""Changes a CloudFormation stack by change sets: creates, reviews, executes and follows one, or removes it again."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from infra.core.program import command
from infra.deploy.changes import ResourceChange, ResourceEvent, change_of, event_of
from infra.deploy.errors import DeployError
from infra.stage import aws
from infra.stage.stage import describe_stack

STAGE_TAG = "passwire:stage"
"""The tag of every resource of a stage, for cost allocation."""
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
SUCCESSES = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 3.0
MAX_WAIT_SECONDS = 3600.0
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
QUEUE_NAME_TAKEN = ("QueueDeletedRecently", "wait 60 seconds")
"""In SQS's error about a queue of the same name that was deleted less than a minute ago."""
CHANGED_BY_ANOTHER = ("IN_PROGRESS state", "_IN_PROGRESS", "OBSOLETE", "does not exist")


class ChangeSet:
    """A change set of a stack.

    Args:
        name: its name.
        changes: the changes of resources.
        differs: whether it changes anything at all, including outputs and parameters.
    """

    def __init__(self, name: str, changes: list[ResourceChange], *, differs: bool) -> None:
        self.name = name
        self.changes = changes
        self.differs = differs
        self.begun = False


class CloudStack:
    """A CloudFormation stack.

    Args:
        name: the name of the stack.
        stage: the name of its stage.
    """

    def __init__(self, name: str, *, stage: str) -> None:
        self.name = name
        self._stage = stage
        self._client = aws.client("cloudformation", config=Config(retries={"mode": "standard"}))

    def described(self, name: str = "") -> dict[str, Any] | None:
        """Return DescribeStacks' description of the stack, or None if it does not exist.

        Args:
            name: the name or id of another stack.
        """
        return describe_stack(name or self.name)

    def parameters(self) -> dict[str, str]:
        """Return the values of its parameters; empty if the stack does not exist."""
        stack = self.described() or {}
        return {p["ParameterKey"]: p.get("ParameterValue", "") for p in stack.get("Parameters", [])}

    def refuse_if_busy(self) -> None:
        """Refuse to change a stack in a state that does not allow it.

        Raises:
            DeployError: another deployment is running, or an earlier one failed so that a person has to act.
        """
        status = (self.described() or {}).get("StackStatus", "")
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            raise DeployError(
                f"stack {self.name} is {status}: another deployment of stage {self._stage} is "
                "running; wait until it ends, then run the command again"
            )
        if status == "UPDATE_ROLLBACK_FAILED":
            raise DeployError(
                f"stack {self.name} is {status}: an update failed, and so did its rollback; fix what its events "
                f"name, then run: aws cloudformation continue-update-rollback --stack-name {self.name}"
            )
        if status.endswith("_FAILED"):
            raise DeployError(
                f"stack {self.name} is {status}: it can only be deleted, which keeps tables and templates; "
                f"run: {command('destroy', '--stage', self._stage)}"
            )

    @property
    def never_ran(self) -> bool:
        """True if its first deployment failed, so that the stack can only be deleted.

        IMPORT_ROLLBACK_COMPLETE without outputs: taking over the tables of an earlier stack failed.
        """
        stack = self.described() or {}
        status = stack.get("StackStatus")
        return status == "ROLLBACK_COMPLETE" or (status == "IMPORT_ROLLBACK_COMPLETE" and not stack.get("Outputs"))

    def protect(self) -> None:
        """Enable termination protection, which only `destroy` disables."""
        self._client.update_termination_protection(StackName=self.name, EnableTerminationProtection=True)

    def deleted_at(self) -> float | None:
        """Return when the last stack of this name was deleted, in epoch seconds; None if none was within 90 days."""
        pages = self._client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
        found = (stack for page in pages for stack in page["StackSummaries"] if stack["StackName"] == self.name)
        newest = next(found, None)  # AWS lists the newest first
        return newest["DeletionTime"].timestamp() if newest and "DeletionTime" in newest else None

    @contextlib.contextmanager
    def change_set(
        self,
        template: Mapping[str, str],
        *,
        declared: AbstractSet[str] = frozenset(),
        parameters: Mapping[str, str] = MappingProxyType({}),
        imports: Sequence[Mapping[str, Any]] = (),
    ) -> Iterator[ChangeSet]:
        """Create a change set, and remove it at the end of the context unless it was executed.

        Args:
            template: `TemplateBody` or `TemplateURL`.
            declared: names of the template's parameters.
            parameters: values of parameters; those that are not given keep their values.
            imports: existing resources that the stack takes over; the change set then does nothing else.

        Raises:
            DeployError: CloudFormation refuses it, or it would lose data.
        """
        before = self.described()
        exists = before is not None and before["StackStatus"] != "REVIEW_IN_PROGRESS"
        kind = "IMPORT" if imports else "UPDATE" if exists else "CREATE"
        name = f"passwire-{int(time.time() * 1000)}"
        kept = {p["ParameterKey"] for p in (before or {}).get("Parameters", [])} if exists else set()
        created = self._client.create_change_set(
            StackName=self.name,
            ChangeSetName=name,
            ChangeSetType=kind,
            **template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": parameters[key]}
                if key in parameters
                else {"ParameterKey": key, "UsePreviousValue": True}
                for key in sorted(declared & (set(parameters) | kept))
            ],
            Capabilities=CAPABILITIES,
            # since November 2025 CloudFormation refuses to create existing resources, even in a change set for review
            **({"ImportExistingResources": True} if kind == "CREATE" else {}),
            **(
                {"ResourcesToImport": list(imports)}  # an import takes no tags; the following update sets them
                if imports
                else {"Tags": [{"Key": STAGE_TAG, "Value": self._stage}]}
            ),
        )
        change_set: ChangeSet | None = None
        try:
            change_set = self._made(name, created["Id"])
            yield change_set
        finally:
            if change_set is None or not change_set.begun:
                self._abandon(name, exists=exists)

    def execute(self, change_set: ChangeSet, *, on_event: Callable[[ResourceEvent], None]) -> None:
        """Execute a change set and follow it until it ends.

        Args:
            change_set: the change set.
            on_event: takes each event.

        Raises:
            DeployError: it was rolled back, or another deployment changed the stack first.
        """
        known = self._known_events(self.name)
        try:
            self._client.execute_change_set(StackName=self.name, ChangeSetName=change_set.name)
        except ClientError as error:
            if any(sign in str(error) for sign in CHANGED_BY_ANOTHER):
                raise DeployError(
                    f"another deployment of stage {self._stage} began in the meantime; this one changed nothing: "
                    "wait until the other ends, then run the command again"
                ) from error
            raise
        change_set.begun = True
        self._follow(self.name, known, ends=SUCCESSES, on_event=on_event)

    def delete(self, *, on_event: Callable[[ResourceEvent], None]) -> None:
        """Delete the stack and keep its retained resources.

        Raises:
            DeployError: something could not be deleted.
        """
        stack = self.described()
        if stack is None:
            return
        known = self._known_events(stack["StackId"])
        if stack.get("EnableTerminationProtection"):
            self._client.update_termination_protection(StackName=self.name, EnableTerminationProtection=False)
        self._client.delete_stack(StackName=self.name)
        self._follow(stack["StackId"], known, ends=("DELETE_COMPLETE",), on_event=on_event)

    def _made(self, name: str, identifier: str) -> ChangeSet:
        described: dict[str, Any] = {}
        for described in _polled(
            lambda: self._client.describe_change_set(StackName=self.name, ChangeSetName=name), self.name
        ):
            if described["Status"] == "FAILED":
                reason = described.get("StatusReason", "")
                if any(sign in reason for sign in NO_CHANGES):
                    return ChangeSet(name, [], differs=False)
                named = "; ".join(map(str, self._validation_errors(ChangeSetName=identifier)))
                raise DeployError(f"CloudFormation refuses these changes of stack {self.name}: {named or reason}")
            if described["Status"] == "CREATE_COMPLETE":
                break
        found = [change_of(change["ResourceChange"]) for change in self._all_changes(name, described)]
        lost = [change for change in found if change.loses_data]
        if lost:
            raise DeployError(
                f"refused: {'; '.join(map(str, lost))} would lose data, or the URL that phones call; "
                "undo that change of the template"
            )
        return ChangeSet(name, found, differs=True)

    def _all_changes(self, name: str, page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield from page.get("Changes", [])
        while token := page.get("NextToken"):
            page = self._client.describe_change_set(StackName=self.name, ChangeSetName=name, NextToken=token)
            yield from page.get("Changes", [])

    def _abandon(self, name: str, *, exists: bool) -> None:
        """Delete a change set, and the empty stack if one was created for it."""
        self._client.delete_change_set(StackName=self.name, ChangeSetName=name)
        if exists or (self.described() or {}).get("StackStatus") != "REVIEW_IN_PROGRESS":
            return
        others = self._client.list_change_sets(StackName=self.name)["Summaries"]
        if all(other["ChangeSetName"] == name for other in others):
            try:
                self._client.delete_stack(StackName=self.name)
            except ClientError as error:
                if aws.error_code(error) not in aws.ACCESS_DENIED_CODES:
                    raise
                # credentials for `diff` alone: the next deployment uses the empty stack

    def _follow(
        self, stack: str, known: set[str], *, ends: Iterable[str], on_event: Callable[[ResourceEvent], None]
    ) -> None:
        """Report each event until the stack reaches a final status.

        Raises:
            DeployError: the final status is not one of `ends`.
        """
        first_failure: ResourceEvent | None = None
        for status in _polled(lambda: self._status(stack), self.name):
            for raw in self._new_events(stack, known):
                event = event_of(raw)
                if first_failure is None and event.failed and event.logical_id != self.name:
                    first_failure = event
                on_event(event)
            if status in ends:
                return
            if not status.endswith("_IN_PROGRESS"):
                raise DeployError(_ended_badly(self.name, status, first_failure or self._refused_resource(stack)))

    def _refused_resource(self, stack: str) -> ResourceEvent | None:
        """Return the first resource that CloudFormation refused before it began; the stack's events lack it."""
        return next(iter(self._validation_errors(StackName=stack)), None)

    def _validation_errors(self, **what: str) -> list[ResourceEvent]:
        """Return the resources that CloudFormation refused before it began (AWS, "Validate stack deployments").

        Args:
            what: `ChangeSetName` (its ARN) or `StackName`.
        """
        failed: list[dict[str, Any]] = []
        with contextlib.suppress(ClientError):  # deploying does not need this permission
            failed = self._client.describe_events(**what, Filters={"FailedEvents": True})["OperationEvents"]
        return [
            ResourceEvent(
                logical_id=event.get("LogicalResourceId", ""),
                resource_type=event.get("ResourceType", ""),
                status="VALIDATION_FAILED",
                reason=event.get("ValidationStatusReason", ""),
            )
            for event in failed
            if event.get("EventType") == "VALIDATION_ERROR"
        ]

    def _status(self, stack: str) -> str:
        """Return the status of a stack, also of a deleted one if its id is given."""
        return str(self._client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    def _known_events(self, stack: str) -> set[str]:
        """Return the ids of the newest events, to tell later ones from them."""
        return {event["EventId"] for event in self._client.describe_stack_events(StackName=stack)["StackEvents"]}

    def _new_events(self, stack: str, known: set[str]) -> list[Mapping[str, Any]]:
        """Return the events since then, in order, and add them to `known`."""
        found: list[Mapping[str, Any]] = []
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=stack):
            new = list(itertools.takewhile(lambda event: event["EventId"] not in known, page["StackEvents"]))
            found += new
            if len(new) < len(page["StackEvents"]):
                break
        known.update(event["EventId"] for event in found)
        return found[::-1]


def _polled(call: Callable[[], Any], name: str) -> Iterator[Any]:
    until = time.monotonic() + MAX_WAIT_SECONDS
    pause = FIRST_POLL_SECONDS
    while time.monotonic() < until:
        yield call()
        time.sleep(pause)
        pause = min(pause * 1.3, LONGEST_POLL_SECONDS)
    raise DeployError(
        f"stack {name}: not finished after {MAX_WAIT_SECONDS / 60:.0f} minutes; "
        "CloudFormation continues without this command"
    )


def _ended_badly(name: str, status: str, cause: ResourceEvent | None) -> str:
    why = (
        f"{cause.logical_id} ({cause.resource_type}) failed first: {cause.reason or cause.status}"
        if cause
        else f"for the reason, run: aws cloudformation describe-stack-events --stack-name {name}"
    )
    if cause and any(sign in cause.reason for sign in QUEUE_NAME_TAKEN):
        why += "; SQS releases a queue's name 60 seconds after its deletion: wait a minute, then run the command again"
    undone = "was rolled back" if "ROLLBACK_COMPLETE" in status else "could not be changed"
    return f"stack {name} {undone} ({status}); {why}"
