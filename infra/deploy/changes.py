"""Changes of a stack's resources: which of them lose data or an address, and the dialogue that decides on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

RETAINED_TYPES = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
"""Resources with data, which are kept when the stack is deleted."""
PERMANENT_TYPES = (*RETAINED_TYPES, "AWS::ApiGateway::RestApi")
"""Resources that a deployment must never delete or replace. A new API has a new URL, and a phone uses the old one for
as long as it has the pass.
"""
ADDRESS_TYPES = ("AWS::ApiGateway::DomainName", "AWS::ApiGateway::BasePathMapping")
"""Resources that connect a domain to the stage: without them, phones that call the domain get no updates."""
CANCELLED = ("cancelled", "canceled")
"""In the reason of a resource that CloudFormation cancelled because another one failed."""


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """The change of one resource in a change set.

    Args:
        action: Add, Modify, Remove, Import.
        logical_id: the resource's name in the template.
        resource_type: CloudFormation's type.
        replacement: whether the resource is replaced: True, False, Conditional.
        properties: the properties that change.
    """

    action: str
    logical_id: str
    resource_type: str
    replacement: str
    properties: tuple[str, ...]

    @property
    def loses_data(self) -> bool:
        """True if data or the API's URL would be lost."""
        if self.resource_type in RETAINED_TYPES:
            return self.action == "Remove" or self.replacement != "False"
        return self.resource_type in PERMANENT_TYPES and self._is_lost

    @property
    def loses_address(self) -> bool:
        """True if a domain that phones call would no longer lead to the stage."""
        return self.resource_type in ADDRESS_TYPES and self._is_lost

    @property
    def _is_lost(self) -> bool:
        """True if the resource is certainly deleted or replaced: no property that the template sets replaces an API."""
        return self.action == "Remove" or self.replacement == "True"

    def __str__(self) -> str:
        touched = f": {', '.join(self.properties)}" if self.properties else ""
        replaced = " REPLACED" if self.replacement == "True" else " MAY BE LOST" if self.loses_data else ""
        return f"{self.action:8} {self.logical_id} ({self.resource_type}){replaced}{touched}"


@dataclass(frozen=True, slots=True)
class ResourceEvent:
    """An event of a resource during a deployment."""

    logical_id: str
    resource_type: str
    status: str
    reason: str

    @property
    def failed(self) -> bool:
        """True if the resource itself failed, rather than being cancelled after another's failure."""
        return self.status.endswith("FAILED") and not any(word in self.reason for word in CANCELLED)

    def __str__(self) -> str:
        return f"{self.logical_id} ({self.resource_type}): {self.reason or self.status}"


class Dialogue(Protocol):
    """Follows a deployment and makes its decisions."""

    def review(self, changes: list[ResourceChange], /) -> bool:
        """Return whether to make these changes."""

    def allows(self, question: str, /) -> bool:
        """Return whether to continue with an unusual step."""

    def confirms(self, question: str, /) -> bool:
        """Return whether to make a change after which phones get no updates. Only a person decides, no option."""

    def event(self, event: ResourceEvent, /) -> None:
        """Take an event of a resource."""


class Unattended:
    """Makes every decision with yes and shows nothing, for tests and the local run."""

    def review(self, _changes: list[ResourceChange], /) -> bool:
        """Return True."""
        return True

    def allows(self, _question: str, /) -> bool:
        """Return True."""
        return True

    def confirms(self, _question: str, /) -> bool:
        """Return True."""
        return True

    def event(self, _event: ResourceEvent, /) -> None:
        """Ignore the event."""


def event_of(raw: Mapping[str, Any]) -> ResourceEvent:
    """Parse an event of DescribeStackEvents."""
    return ResourceEvent(
        logical_id=raw["LogicalResourceId"],
        resource_type=raw["ResourceType"],
        status=raw["ResourceStatus"],
        reason=raw.get("ResourceStatusReason", ""),
    )


def change_of(raw: Mapping[str, Any]) -> ResourceChange:
    """Parse a `ResourceChange` of DescribeChangeSet."""
    targets = [detail.get("Target", {}) for detail in raw.get("Details", [])]
    touched = {target.get("Name") or target.get("Attribute", "") for target in targets}
    return ResourceChange(
        action=raw["Action"],
        logical_id=raw["LogicalResourceId"],
        resource_type=raw["ResourceType"],
        replacement=raw.get("Replacement") or "False",
        properties=tuple(sorted(touched - {""})),
    )
