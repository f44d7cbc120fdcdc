"""The passes of a stage, one at a time, with the tables around them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

from chalicelib.aws.images import Images
from chalicelib.aws.tables.versions import version_of
from chalicelib.aws.templates import Templates
from chalicelib.core.errors import ConfigurationError, RefusedError, TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.passes.format.findings import Finding
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import validate
from chalicelib.updates.protocol import Version
from infra.operate.passes.change import ItemChange
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.secrets import has_pass_type
from infra.stage.stage import Stage

SECRET_ATTRIBUTES = ("authentication_token", "personalization")
"""Never shown: the first is the pass's secret, the second is what a person gave at sign-up."""


MAX_TRIES = 5
"""How often a change is worked out anew because somebody else wrote the item meanwhile."""


class PassMissingError(RefusedError):
    """There is no such pass."""


class PassExistsError(RefusedError):
    """There is such a pass already, and nothing was written."""


class SerialNumberUsedError(RefusedError):
    """A pass of this type once had the serial number, and nothing was written."""

    def __init__(self, pass_id: PassId) -> None:
        super().__init__(
            f"pass {pass_id}: a pass that was deleted had this serial number, and whoever still holds it could fetch "
            "the new one; give another serial number, or --reuse-serial if it is for the same person"
        )


class PassBusyError(TransientError):
    """Others wrote the pass at the same time, again and again."""


@dataclass(frozen=True, slots=True)
class PassState:
    """A pass as the tables have it, without secrets.

    Args:
        attributes: of the item, those aside that are nobody's to see.
        version: None before the first stamp.
        devices: how many are registered for it.
    """

    attributes: Mapping[str, object]
    version: Version | None
    devices: int


@dataclass(frozen=True, slots=True)
class ListPage:
    """Some of the passes of a table.

    Args:
        passes: those that were asked for: pass_id, template, voided.
        read: how many items were read for them.
        units: what that cost, in read units.
    """

    passes: list[dict[str, object]]
    read: int
    units: float


class PassTable:
    """The passes of one stage. What cannot become a pass is never written."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._templates = Templates(bucket=stage.templates_bucket)
        self._images = Images(bucket=stage.templates_bucket)
        tables = aws.resource("dynamodb")
        retry_conflicts(tables.meta.client)
        self._passes = tables.Table(stage.table("passes"))
        self._versions = tables.Table(stage.table("versions"))
        self._registrations = tables.Table(stage.table("registrations"))

    def state(self, pass_id: PassId) -> PassState:
        """What is known of a pass.

        Raises:
            PassMissingError: it is not there.
        """
        item = self._item(pass_id)
        row = self._versions.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True).get("Item")
        return PassState(
            attributes={name: value for name, value in item.items() if name not in SECRET_ATTRIBUTES},
            version=version_of(row) if row else None,
            devices=self.devices(pass_id),
        )

    def issue(self, pass_id: PassId, *, template: str, change: ItemChange, reuse_serial: bool = False) -> list[Finding]:
        """Write a pass that is not there yet.

        A pass's authentication token follows from its pass id, and an installed pass keeps its token. So the holder of
        a deleted pass can fetch the next one with the same serial number.

        Args:
            pass_id: of the new pass.
            template: what it is made from.
            change: its fields and overrides.
            reuse_serial: whether its serial number may be that of a pass that was deleted.

        Returns:
            What phones will leave out of it, or show otherwise than written.

        Raises:
            PassExistsError: it is there.
            SerialNumberUsedError: its serial number was used before, and `reuse_serial` is False.
            RefusedError: it does not fit its template.
            ConfigurationError: its pass type has no certificate.
        """
        item = change.applied_to({"pass_id": str(pass_id), "template": template})
        warnings = self._validate(item)
        self._require_certificate(pass_id.pass_type_identifier)
        if not reuse_serial:
            self._require_unused(pass_id)
        try:
            self._passes.put_item(Item=item, ConditionExpression="attribute_not_exists(pass_id)")
        except ClientError as error:
            if _condition_failed(error):
                raise PassExistsError(
                    f"pass {pass_id}: is there already; `pass update` changes it, `pass link` hands it out again"
                ) from None
            raise
        return warnings

    def update(self, pass_id: PassId, change: ItemChange) -> list[Finding]:
        """Change a pass that is there.

        Returns:
            As `issue`.

        Raises:
            PassMissingError: it is not there.
            PassBusyError: others were faster, again and again.
            RefusedError: it would not fit its template any more.
        """
        for _ in range(MAX_TRIES):
            item = self._item(pass_id)
            PassItem.parse(item)  # what a pipeline wrote may be of any shape
            warnings = self._validate(change.applied_to(item))
            try:
                self._passes.update_item(Key={"pass_id": str(pass_id)}, **change.request(item))
            except ClientError as error:
                if not _condition_failed(error):
                    raise
            else:
                return warnings
        raise PassBusyError(f"pass {pass_id}: others write it at the same time; nothing was changed, try again")

    def validate(self, pass_id: PassId) -> None:
        """Make sure that a pass is there and can be made.

        Raises:
            PassMissingError: it is not there.
            RefusedError: it does not fit its template.
            ConfigurationError: its pass type has no certificate.
        """
        self._validate(self._item(pass_id))
        self._require_certificate(pass_id.pass_type_identifier)

    def delete(self, pass_id: PassId) -> None:
        """Delete a pass; its registrations go by themselves when the stream is read.

        Raises:
            PassMissingError: it is not there.
        """
        try:
            self._passes.delete_item(Key={"pass_id": str(pass_id)}, ConditionExpression="attribute_exists(pass_id)")
        except ClientError as error:
            if _condition_failed(error):
                raise _missing(pass_id) from None
            raise

    def pages(
        self, *, pass_type_identifier: str | None, template: str | None, after: PassId | None, page_size: int
    ) -> Iterator[ListPage]:
        """Go through the table, in its own order; what was written within the last second may be missing.

        Args:
            pass_type_identifier: None for any.
            template: None for any.
            after: where an earlier look ended.
            page_size: how many items to read at once, at most.
        """
        query: dict[str, Any] = {
            "ProjectionExpression": "pass_id, #template, voided",
            "ExpressionAttributeNames": {"#template": "template"},
            "Limit": page_size,
            "ReturnConsumedCapacity": "TOTAL",
        }
        filters = []
        if pass_type_identifier is not None:
            filters.append(Attr("pass_id").begins_with(f"{pass_type_identifier}/"))
        if template is not None:
            filters.append(Attr("template").eq(template))
        if filters:
            query["FilterExpression"] = filters[0] if len(filters) == 1 else filters[0] & filters[1]
        if after is not None:
            query["ExclusiveStartKey"] = {"pass_id": str(after)}
        while True:
            page = self._passes.scan(**query)
            units = float(page.get("ConsumedCapacity", {}).get("CapacityUnits", 0))
            yield ListPage(list(page["Items"]), page["ScannedCount"], units)
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def devices(self, pass_id: PassId) -> int:
        """How many are registered for the pass; a request for every 10,000 of them."""
        query: dict[str, Any] = {
            "Select": "COUNT",
            "KeyConditionExpression": "pass_id = :pass_id",
            "ExpressionAttributeValues": {":pass_id": str(pass_id)},
        }
        count = 0
        while True:
            page = self._registrations.query(**query)
            count += int(page["Count"])
            if "LastEvaluatedKey" not in page:
                return count
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _item(self, pass_id: PassId) -> dict[str, Any]:
        item = self._passes.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True).get("Item")
        if item is None:
            raise _missing(pass_id)
        return dict(item)

    def _validate(self, attributes: Mapping[str, object]) -> list[Finding]:
        item = PassItem.parse(attributes)
        warnings = validate(self._templates.get(item.template), item)
        self._images.require(item.images.values())
        return warnings

    def _require_unused(self, pass_id: PassId) -> None:
        """A pass's version outlives it, so one without a pass is that of a pass that was deleted."""
        key = {"Key": {"pass_id": str(pass_id)}, "ConsistentRead": True}
        if "Item" in self._versions.get_item(**key) and "Item" not in self._passes.get_item(**key):
            raise SerialNumberUsedError(pass_id)

    def _require_certificate(self, pass_type_identifier: str) -> None:
        if not has_pass_type(self._stage.name, pass_type_identifier):
            raise ConfigurationError(
                f"pass type {pass_type_identifier}: stage {self._stage.name} has no certificate for it, so its passes "
                "cannot be signed; nothing was written"
            )


def _missing(pass_id: PassId) -> PassMissingError:
    return PassMissingError(f"pass {pass_id}: there is none; `pass list` shows those that there are")


def _condition_failed(error: ClientError) -> bool:
    return bool(error.response["Error"]["Code"] == "ConditionalCheckFailedException")
