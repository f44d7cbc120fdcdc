"""One CloudFormation stack: a change set is made, looked at, carried out and followed; or nothing is left of it."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from botocore.config import Config
from botocore.exceptions import ClientError

from infra.deploy.errors import DeployError
from infra.stage import aws
from infra.stage.stage import describe_stack

STAGE_TAG = "passwire:stage"
"""The tag of every resource of a stage, by which AWS's bill can be split."""
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
RETAINED_TYPES = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""What holds data that cannot be made again; it outlives the stack."""
PERMANENT_TYPES = (*RETAINED_TYPES, "AWS::ApiGateway::RestApi")
"""What a deployment must never delete or replace. A new API has a new address, and phones keep the old one for as long
as they hold a pass.
"""
ADDRESS_TYPES = ("AWS::ApiGateway::DomainName", "AWS::ApiGateway::BasePathMapping")
"""What makes a domain lead to the stage: without it the phones that call the domain get no updates."""
SUCCESSES = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 3.0
MAX_WAIT_SECONDS = 3600.0
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
NOT_THE_CAUSE = ("cancelled", "canceled")
"""What CloudFormation says of resources that it gave up because another one failed."""
QUEUE_NAME_TAKEN = ("QueueDeletedRecently", "wait 60 seconds")
"""How SQS says that a queue of that name was deleted less than a minute ago."""
BEGUN_BY_ANOTHER = ("IN_PROGRESS state", "_IN_PROGRESS", "OBSOLETE", "does not exist")


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One line of a change set: what happens to which resource.

    Args:
        action: Add, Modify, Remove, Import.
        replacement: whether it is made anew: True, False, Conditional.
        properties: which of its properties are touched.
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str
    properties: tuple[str, ...]

    @property
    def loses_data(self) -> bool:
        """Whether something would be deleted or replaced that cannot be made again."""
        if self.resource_type in RETAINED_TYPES:
            return self.action == "Remove" or self.replacement != "False"
        return self.resource_type in PERMANENT_TYPES and self._goes

    @property
    def loses_address(self) -> bool:
        """Whether a domain that phones call would no longer lead to the stage."""
        return self.resource_type in ADDRESS_TYPES and self._goes

    @property
    def _goes(self) -> bool:
        """Whether it is deleted or replaced for certain: no property that the template sets replaces an API."""
        return self.action == "Remove" or self.replacement == "True"

    def __str__(self) -> str:
        touched = f": {', '.join(self.properties)}" if self.properties else ""
        replaced = " REPLACED" if self.replacement == "True" else " MAY BE LOST" if self.loses_data else ""
        return f"{self.action:8} {self.logical_id} ({self.resource_type}){replaced}{touched}"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a resource while a change was carried out."""

    logical_id: str
    resource_type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        """Whether it is a failure of its own, not one that another's failure brought."""
        return self.status.endswith("FAILED") and not any(word in self.reason for word in NOT_THE_CAUSE)

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.resource_type}): {self.reason or self.status}"


class Dialogue(Protocol):
    """Whoever watches a deployment, and decides."""

    def review(self, changes: list[ResourceChange], /) -> bool:
        """Whether these may be made."""

    def allows(self, question: str, /) -> bool:
        """Whether to go on with something out of the ordinary."""

    def confirms(self, question: str, /) -> bool:
        """Whether to do what strands phones: a person's decision, which no option makes in advance."""

    def event(self, event: Event, /) -> None:
        """Something happened to a resource."""


class Unattended:
    """Nobody watches, and everything may be done."""

    def review(self, _changes: list[ResourceChange], /) -> bool:
        """Yes."""
        return True

    def allows(self, _question: str, /) -> bool:
        """Yes."""
        return True

    def confirms(self, _question: str, /) -> bool:
        """Yes."""
        return True

    def event(self, _event: Event, /) -> None:
        """Nobody wants to know."""


class ChangeSet:
    """What a stack would become.

    Args:
        changes: what would happen to its resources.
        differs: whether anything at all would be different, an output or a parameter too.
    """

    def __init__(self, name: str, changes: list[ResourceChange], *, differs: bool) -> None:
        self.name = name
        self.changes = changes
        self.differs = differs
        self.begun = False


class CloudStack:
    """A stack by its name."""

    def __init__(self, name: str, *, stage: str) -> None:
        self.name = name
        self._stage = stage
        self._client = aws.client("cloudformation", config=Config(retries={"mode": "standard"}))

    def described(self, name: str = "") -> dict[str, Any] | None:
        """It, as CloudFormation describes it; None where it is not, or was deleted."""
        return describe_stack(name or self.name)

    def parameters(self) -> dict[str, str]:
        """Its parameters' values; empty where it is not."""
        stack = self.described() or {}
        return {p["ParameterKey"]: p.get("ParameterValue", "") for p in stack.get("Parameters", [])}

    def refuse_if_busy(self) -> None:
        """Say so if it cannot be changed now.

        Raises:
            DeployError: another deployment runs, or an earlier one left it where only its owner can help.
        """
        status = (self.described() or {}).get("StackStatus", "")
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            raise DeployError(
                f"stack {self.name} is {status}: another deployment of stage {self._stage} runs; "
                "wait for its end, then run the command again"
            )
        if status == "UPDATE_ROLLBACK_FAILED":
            raise DeployError(
                f"stack {self.name} is {status}: an update failed and could not be undone either; mend what its events "
                f"name, then run: aws cloudformation continue-update-rollback --stack-name {self.name}"
            )
        if status.endswith("_FAILED"):
            raise DeployError(
                f"stack {self.name} is {status}: it can only be deleted, which leaves tables and templates alone; "
                f"run: python -m infra destroy --stage {self._stage}"
            )

    @property
    def never_ran(self) -> bool:
        """Whether its first deployment failed, so that it can only be deleted.

        IMPORT_ROLLBACK_COMPLETE without outputs: the tables of an earlier stack could not be taken over.
        """
        stack = self.described() or {}
        status = stack.get("StackStatus")
        return status == "ROLLBACK_COMPLETE" or (status == "IMPORT_ROLLBACK_COMPLETE" and not stack.get("Outputs"))

    def protect(self) -> None:
        """Keep the stack from being deleted by anything but this service's own `destroy`."""
        self._client.update_termination_protection(StackName=self.name, EnableTerminationProtection=True)

    def deleted_at(self) -> float | None:
        """Epoch seconds at which the last stack of this name was deleted; None where none was in 90 days."""
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
        """A change set for as long as the context lasts, and after that only if it was carried out.

        Args:
            template: `TemplateBody` or `TemplateURL`.
            declared: names of the template's parameters.
            parameters: values of some; one that is not given keeps the value it has.
            imports: resources that are there already, and that the stack takes over; then it does nothing else.

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
            # since November 2025 CloudFormation refuses to create what is there already, even to look at the changes
            **({"ImportExistingResources": True} if kind == "CREATE" else {}),
            **(
                {"ResourcesToImport": list(imports)}  # an import takes no tags; the update that follows sets them
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

    def carry_out(self, change_set: ChangeSet, *, show: Callable[[Event], None]) -> None:
        """Execute a change set and follow it to its end.

        Raises:
            DeployError: it was rolled back, or another deployment was faster.
        """
        known = self._known_events(self.name)
        try:
            self._client.execute_change_set(StackName=self.name, ChangeSetName=change_set.name)
        except ClientError as error:
            if any(sign in str(error) for sign in BEGUN_BY_ANOTHER):
                raise DeployError(
                    f"another deployment of stage {self._stage} began meanwhile; this one changed nothing: "
                    "wait for the other's end, then run the command again"
                ) from error
            raise
        change_set.begun = True
        self._follow(self.name, known, ends=SUCCESSES, show=show)

    def delete(self, *, show: Callable[[Event], None]) -> None:
        """Delete the stack; its retained resources stay.

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
        self._follow(stack["StackId"], known, ends=("DELETE_COMPLETE",), show=show)

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
        found = [_change(change["ResourceChange"]) for change in self._all_changes(name, described)]
        lost = [change for change in found if change.loses_data]
        if lost:
            raise DeployError(
                f"refused: {'; '.join(map(str, lost))} would lose data, or the address that phones call; "
                "undo that change of the template"
            )
        return ChangeSet(name, found, differs=True)

    def _all_changes(self, name: str, page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield from page.get("Changes", [])
        while token := page.get("NextToken"):
            page = self._client.describe_change_set(StackName=self.name, ChangeSetName=name, NextToken=token)
            yield from page.get("Changes", [])

    def _abandon(self, name: str, *, exists: bool) -> None:
        """Leave nothing of a change set, nor of the empty stack that was made to hold it."""
        self._client.delete_change_set(StackName=self.name, ChangeSetName=name)
        if exists or (self.described() or {}).get("StackStatus") != "REVIEW_IN_PROGRESS":
            return
        others = self._client.list_change_sets(StackName=self.name)["Summaries"]
        if all(other["ChangeSetName"] == name for other in others):
            self._client.delete_stack(StackName=self.name)

    def _follow(self, stack: str, known: set[str], *, ends: Iterable[str], show: Callable[[Event], None]) -> None:
        """Show each event until the stack rests.

        Raises:
            DeployError: it rests elsewhere than it should.
        """
        first_failure: Event | None = None
        for status in _polled(lambda: self._status(stack), self.name):
            for raw in self._new_events(stack, known):
                event = _event(raw)
                if first_failure is None and event.failed and event.logical_id != self.name:
                    first_failure = event
                show(event)
            if status in ends:
                return
            if not status.endswith("_IN_PROGRESS"):
                raise DeployError(_ended_badly(self.name, status, first_failure or self._refused_resource(stack)))

    def _refused_resource(self, stack: str) -> Event | None:
        """What CloudFormation found wrong before it began, which is not among the stack's events."""
        return next(iter(self._validation_errors(StackName=stack)), None)

    def _validation_errors(self, **what: str) -> list[Event]:
        """The resources that CloudFormation refused before it began (AWS, "Validate stack deployments").

        Args:
            what: `ChangeSetName` (its ARN) or `StackName`.
        """
        failed: list[dict[str, Any]] = []
        with contextlib.suppress(ClientError):  # a right that one can deploy without
            failed = self._client.describe_events(**what, Filters={"FailedEvents": True})["OperationEvents"]
        return [
            Event(
                logical_id=event.get("LogicalResourceId", ""),
                resource_type=event.get("ResourceType", ""),
                status="VALIDATION_FAILED",
                reason=event.get("ValidationStatusReason", ""),
            )
            for event in failed
            if event.get("EventType") == "VALIDATION_ERROR"
        ]

    def _status(self, stack: str) -> str:
        """By its id, a stack that was deleted is described too."""
        return str(self._client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    def _known_events(self, stack: str) -> set[str]:
        """The newest, so that what comes later is known to be new."""
        return {event["EventId"] for event in self._client.describe_stack_events(StackName=stack)["StackEvents"]}

    def _new_events(self, stack: str, known: set[str]) -> list[Mapping[str, Any]]:
        """What happened since, in order; `known` learns it."""
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
    raise DeployError(f"stack {name}: no end after {MAX_WAIT_SECONDS / 60:.0f} minutes; CloudFormation goes on with it")


def _ended_badly(name: str, status: str, cause: Event | None) -> str:
    why = (
        f"{cause.logical_id} ({cause.resource_type}) failed first: {cause.reason or cause.status}"
        if cause
        else f"its events say why: aws cloudformation describe-stack-events --stack-name {name}"
    )
    if cause and any(sign in cause.reason for sign in QUEUE_NAME_TAKEN):
        why += "; SQS frees a queue's name 60 seconds after it was deleted: wait a minute, then run the command again"
    undone = "was rolled back" if "ROLLBACK_COMPLETE" in status else "was not changed as it should be"
    return f"stack {name} {undone} ({status}); {why}"


def _event(raw: Mapping[str, Any]) -> Event:
    return Event(
        logical_id=raw["LogicalResourceId"],
        resource_type=raw["ResourceType"],
        status=raw["ResourceStatus"],
        reason=raw.get("ResourceStatusReason", ""),
    )


def _change(raw: Mapping[str, Any]) -> ResourceChange:
    targets = [detail.get("Target", {}) for detail in raw.get("Details", [])]
    touched = {target.get("Name") or target.get("Attribute", "") for target in targets}
    return ResourceChange(
        action=raw["Action"],
        logical_id=raw["LogicalResourceId"],
        resource_type=raw["ResourceType"],
        replacement=raw.get("Replacement") or "False",
        properties=tuple(sorted(touched - {""})),
    )
