"""One CloudFormation stack: a change set is made, looked at, carried out and followed; or nothing is left of it."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol, Self

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from infra.stack.errors import DeployError

STAGE_TAG = "passwire:stage"
"""The tag of every resource of a stage, by which AWS's bill can be split."""
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
KEPT_TYPES = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""What a deployment must never delete or replace: it holds what cannot be made again."""
SUCCESSES = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 3.0
MAX_WAIT_SECONDS = 3600.0
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
NOT_THE_CAUSE = ("cancelled", "canceled")
"""What CloudFormation says of resources that it gave up because another one failed."""
BEGUN_BY_ANOTHER = ("IN_PROGRESS state", "_IN_PROGRESS", "OBSOLETE", "does not exist")


@dataclass(frozen=True, slots=True)
class Change:
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
        """Whether what cannot be made again would go."""
        return self.resource_type in KEPT_TYPES and (self.action == "Remove" or self.replacement != "False")

    @property
    def adopted(self) -> Self:
        """The same for a resource that is there already, left by an earlier stack."""
        return replace(self, action="Import")

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


class Dialogue(Protocol):
    """Whoever watches a deployment, and decides."""

    def review(self, changes: list[Change], /) -> bool:
        """Whether these may be made."""

    def allows(self, question: str, /) -> bool:
        """Whether to go on with something out of the ordinary."""

    def event(self, event: Event, /) -> None:
        """Something happened to a resource."""


class Unattended:
    """Nobody watches, and everything may be done."""

    def review(self, _changes: list[Change], /) -> bool:
        """Yes."""
        return True

    def allows(self, _question: str, /) -> bool:
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

    def __init__(self, name: str, changes: list[Change], *, differs: bool) -> None:
        self.name = name
        self.changes = changes
        self.differs = differs
        self.begun = False


class CloudStack:
    """A stack by its name."""

    def __init__(self, name: str, *, stage: str) -> None:
        self.name = name
        self._stage = stage
        self._client = boto3.client("cloudformation", config=Config(retries={"mode": "standard"}))

    def described(self, name: str = "") -> dict[str, Any] | None:
        """It, as CloudFormation describes it; None where it is not, or was deleted."""
        try:
            stacks = self._client.describe_stacks(StackName=name or self.name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
                return None
            raise
        return dict(stacks[0]) if stacks and stacks[0]["StackStatus"] != "DELETE_COMPLETE" else None

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
        """Whether its first deployment failed, so that it can only be deleted."""
        return (self.described() or {}).get("StackStatus") == "ROLLBACK_COMPLETE"

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
        name = f"passwire-{int(time.time() * 1000)}"
        kept = {p["ParameterKey"] for p in (before or {}).get("Parameters", [])} if exists else set()
        self._client.create_change_set(
            StackName=self.name,
            ChangeSetName=name,
            ChangeSetType="IMPORT" if imports else "UPDATE" if exists else "CREATE",
            **template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": parameters[key]}
                if key in parameters
                else {"ParameterKey": key, "UsePreviousValue": True}
                for key in sorted(declared & (set(parameters) | kept))
            ],
            Capabilities=CAPABILITIES,
            **(
                {"ResourcesToImport": list(imports)}  # an import takes no tags; the update that follows sets them
                if imports
                else {"Tags": [{"Key": STAGE_TAG, "Value": self._stage}]}
            ),
        )
        change_set: ChangeSet | None = None
        try:
            change_set = self._made(name)
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
        self._client.delete_stack(StackName=self.name)
        self._follow(stack["StackId"], known, ends=("DELETE_COMPLETE",), show=show)

    def _made(self, name: str) -> ChangeSet:
        described: dict[str, Any] = {}
        for described in _polled(
            lambda: self._client.describe_change_set(StackName=self.name, ChangeSetName=name), self.name
        ):
            if described["Status"] == "FAILED":
                reason = described.get("StatusReason", "")
                if any(sign in reason for sign in NO_CHANGES):
                    return ChangeSet(name, [], differs=False)
                raise DeployError(f"CloudFormation refuses these changes of stack {self.name}: {reason}")
            if described["Status"] == "CREATE_COMPLETE":
                break
        found = [_change(change["ResourceChange"]) for change in self._all_changes(name, described)]
        lost = [change for change in found if change.loses_data]
        if lost:
            raise DeployError(f"refused: {'; '.join(map(str, lost))} would lose data; undo that change of the template")
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
        failed: list[dict[str, Any]] = []
        with contextlib.suppress(ClientError):  # a right that one can deploy without
            failed = self._client.describe_events(StackName=stack, Filters={"FailedEvents": True})["OperationEvents"]
        for event in failed:
            if event["EventType"] == "VALIDATION_ERROR":
                reason = event.get("ValidationStatusReason", "")
                return Event(event["LogicalResourceId"], event["ResourceType"], "VALIDATION_FAILED", reason)
        return None

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
    undone = "was rolled back" if "ROLLBACK_COMPLETE" in status else "was not changed as it should be"
    return f"stack {name} {undone} ({status}); {why}"


def _event(raw: Mapping[str, Any]) -> Event:
    return Event(
        logical_id=raw["LogicalResourceId"],
        resource_type=raw["ResourceType"],
        status=raw["ResourceStatus"],
        reason=raw.get("ResourceStatusReason", ""),
    )


def _change(raw: Mapping[str, Any]) -> Change:
    targets = [detail.get("Target", {}) for detail in raw.get("Details", [])]
    touched = {target.get("Name") or target.get("Attribute", "") for target in targets}
    return Change(
        action=raw["Action"],
        logical_id=raw["LogicalResourceId"],
        resource_type=raw["ResourceType"],
        replacement=raw.get("Replacement") or "False",
        properties=tuple(sorted(touched - {""})),
    )
