"""Reads and writes single passes of a stage, with their versions and registrations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError

from chalicelib.aws.images import Images
from chalicelib.aws.tables.versions import version_of
from chalicelib.aws.templates import Templates
from chalicelib.core.errors import ConfigurationError, RefusedError, TransientError
from chalicelib.core.identifiers import MAX_PASS_ID_BYTES, PassId
from chalicelib.passes.format.findings import Finding
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import validate
from chalicelib.updates.protocol import Version
from infra.core.program import command
from infra.operate.passes.change import ItemChange, differences
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.secrets import has_pass_type
from infra.stage.stage import Stage

SECRET_ATTRIBUTES = ("authentication_token", "personalization")
"""Never shown: the secret of a pass, and the personal data that a person entered at sign-up."""


MAX_KEY_BYTES = 2048
"""DynamoDB's limit for a hash key."""
MAX_TRIES = 5
"""How often a change is computed again because the item was written at the same time."""


class PassMissingError(RefusedError):
    """The pass does not exist."""


class PassExistsError(RefusedError):
    """The pass exists already; nothing was written."""


class SerialNumberUsedError(RefusedError):
    """A deleted pass of this type had the serial number; nothing was written."""

    def __init__(self, pass_id: PassId) -> None:
        super().__init__(
            f"pass {pass_id}: a deleted pass had this serial number, and phones that still have it could download the "
            "new one; give another serial number, or --reuse-serial if it is for the same person"
        )


class PassBusyError(TransientError):
    """The pass was written concurrently on every attempt."""


@dataclass(frozen=True, slots=True)
class PassState:
    """State of a pass, without secrets.

    Args:
        attributes: attributes of the item, without `SECRET_ATTRIBUTES`.
        version: None before the first stamp.
        devices: number of registered devices.
    """

    attributes: Mapping[str, object]
    version: Version | None
    devices: int


@dataclass(frozen=True, slots=True)
class PassUpdate:
    """A change of a pass that is valid and not written yet.

    Args:
        changed: path, value before and value after of each difference; empty if nothing changes.
        warnings: about values that phones leave out or show differently.
        devices: number of registered devices.
    """

    changed: list[tuple[str, object, object]]
    warnings: list[Finding]
    devices: int


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of passes.

    Args:
        passes: `pass_id`, `template` and `voided` of the matching passes.
        read: number of items read.
        units: consumed read units.
    """

    passes: list[dict[str, object]]
    read: int
    units: float


class PassTable:
    """Reads and writes the passes of one stage; never writes an invalid item.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._templates = Templates(bucket=stage.templates_bucket)
        self._images = Images(bucket=stage.templates_bucket)
        tables = aws.resource("dynamodb")
        retry_conflicts(tables.meta.client)
        self._passes = tables.Table(stage.table("passes"))
        self._versions = tables.Table(stage.table("versions"))
        self._registrations = tables.Table(stage.table("registrations"))

    def state(self, key: str) -> PassState:
        """Return the state of an item.

        Args:
            key: its key in the table, also one that is not a valid pass id.

        Raises:
            PassMissingError: there is no such item.
        """
        item = self._item(key)
        row = self._versions.get_item(Key={"pass_id": key}, ConsistentRead=True).get("Item")
        return PassState(
            attributes={name: value for name, value in item.items() if name not in SECRET_ATTRIBUTES},
            version=version_of(row) if row else None,
            devices=self.devices(key),
        )

    def issue(self, pass_id: PassId, *, template: str, change: ItemChange, reuse_serial: bool = False) -> list[Finding]:
        """Write a new pass.

        The authentication token of a pass is derived from its pass id, and an installed pass keeps its token. The
        holder of a deleted pass could therefore download a new pass with the same serial number.

        Args:
            pass_id: id of the new pass.
            template: name of its template.
            change: its fields and overrides.
            reuse_serial: True to allow the serial number of a deleted pass.

        Returns:
            Warnings about values that phones leave out or show differently.

        Raises:
            PassExistsError: the pass exists already.
            SerialNumberUsedError: a deleted pass had the serial number, and `reuse_serial` is False.
            RefusedError: the pass does not match its template.
            ConfigurationError: the pass type has no certificate.
        """
        item = change.applied_to({"pass_id": str(pass_id), "template": template})
        warnings = self._validate(item)
        require_certificate(self._stage.name, pass_id.pass_type_identifier)
        if not reuse_serial:
            self._require_unused(pass_id)
        try:
            self._passes.put_item(Item=item, ConditionExpression="attribute_not_exists(pass_id)")
        except ClientError as error:
            if _condition_failed(error):
                raise PassExistsError(
                    f"pass {pass_id}: already exists; to change it, run `pass update`; to get a new link, `pass link`"
                ) from None
            raise
        return warnings

    def check_update(self, pass_id: PassId, change: ItemChange) -> PassUpdate:
        """Return what a change of an existing pass would change, without writing it.

        Raises:
            PassMissingError: the pass does not exist.
            RefusedError: the changed pass does not match its template.
        """
        item, warnings = self._changed(pass_id, change)
        return PassUpdate(differences(item, change.applied_to(item)), warnings, self.devices(str(pass_id)))

    def update(self, pass_id: PassId, change: ItemChange) -> None:
        """Change an existing pass.

        Raises:
            PassMissingError: the pass does not exist.
            PassBusyError: the pass was written concurrently on every attempt.
            RefusedError: the changed pass does not match its template.
        """
        for _ in range(MAX_TRIES):
            item, _ = self._changed(pass_id, change)
            try:
                self._passes.update_item(Key={"pass_id": str(pass_id)}, **change.request(item))
            except ClientError as error:
                if not _condition_failed(error):
                    raise
            else:
                return
        raise PassBusyError(f"pass {pass_id}: is being written concurrently; nothing was changed, try again")

    def validate(self, pass_id: PassId) -> None:
        """Check that a pass exists and can be built.

        Raises:
            PassMissingError: the pass does not exist.
            RefusedError: the pass does not match its template.
            ConfigurationError: the pass type has no certificate.
        """
        self._validate(self._item(str(pass_id)))
        require_certificate(self._stage.name, pass_id.pass_type_identifier)

    def delete(self, key: str) -> None:
        """Delete an item; the push function removes its registrations.

        Args:
            key: as of `state`.

        Raises:
            PassMissingError: there is no such item.
        """
        try:
            self._passes.delete_item(Key={"pass_id": key}, ConditionExpression="attribute_exists(pass_id)")
        except ClientError as error:
            if _condition_failed(error):
                raise _missing(key) from None
            raise

    def pages(
        self, *, pass_type_identifier: str | None, template: str | None, after: str | None, page_size: int
    ) -> Iterator[ListPage]:
        """Yield pages of the table, in the table's order; writes of the last second may be missing.

        Args:
            pass_type_identifier: only passes of this type; None for all.
            template: only passes of this template; None for all.
            after: start after the item with this key; None for the beginning.
            page_size: maximum number of items to read per page.
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
            query["ExclusiveStartKey"] = {"pass_id": after}
        while True:
            page = self._passes.scan(**query)
            units = float(page.get("ConsumedCapacity", {}).get("CapacityUnits", 0))
            yield ListPage(list(page["Items"]), page["ScannedCount"], units)
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def field_keys(self, template: str) -> list[str]:
        """Return the keys of a template's fields."""
        return list(self._templates.get(template).places)

    def devices(self, key: str) -> int:
        """Return the number of devices registered for a pass; one request per 10,000 devices."""
        if len(key.encode()) > MAX_PASS_ID_BYTES:  # the registrations table cannot contain it
            return 0
        query: dict[str, Any] = {
            "Select": "COUNT",
            "KeyConditionExpression": "pass_id = :pass_id",
            "ExpressionAttributeValues": {":pass_id": key},
        }
        count = 0
        while True:
            page = self._registrations.query(**query)
            count += int(page["Count"])
            if "LastEvaluatedKey" not in page:
                return count
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _item(self, key: str) -> dict[str, Any]:
        item = self._passes.get_item(Key={"pass_id": key}, ConsistentRead=True).get("Item")
        if item is None:
            raise _missing(key)
        return dict(item)

    def _changed(self, pass_id: PassId, change: ItemChange) -> tuple[dict[str, Any], list[Finding]]:
        """Return the item before a change, which is valid, and the warnings about the changed one."""
        item = self._item(str(pass_id))
        PassItem.parse(item)  # a pipeline may have written an invalid item
        return item, self._validate(change.applied_to(item))

    def _validate(self, attributes: Mapping[str, object]) -> list[Finding]:
        item = PassItem.parse(attributes)
        warnings = validate(self._templates.get(item.template), item)
        self._images.validate_exist(item.images.values())
        return warnings

    def _require_unused(self, pass_id: PassId) -> None:
        """Check that no deleted pass had this id: versions outlive passes."""
        key = {"Key": {"pass_id": str(pass_id)}, "ConsistentRead": True}
        if "Item" in self._versions.get_item(**key) and "Item" not in self._passes.get_item(**key):
            raise SerialNumberUsedError(pass_id)


def check_key(text: str) -> str:
    """Return the key of an item if DynamoDB can store it.

    Raises:
        RefusedError: it is empty, too long, or not valid Unicode.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise RefusedError(f"{text!a}: is not valid Unicode, so no item can have this key") from None
    if not 1 <= size <= MAX_KEY_BYTES:
        raise RefusedError(f"a key has 1 to {MAX_KEY_BYTES:,} bytes; this one has {size:,}")
    return text


def require_certificate(stage: str, pass_type_identifier: str) -> None:
    """Check that a stage can sign passes of a type, before any of them is written.

    Raises:
        ConfigurationError: it has no certificate.
    """
    if not has_pass_type(stage, pass_type_identifier):
        raise ConfigurationError(
            f"pass type {pass_type_identifier}: stage {stage} has no certificate for it, so its passes cannot be "
            "signed; nothing was written. To import one, run: "
            f"{command('cert import', pass_type_identifier, 'FILE', '--stage', stage)}"
        )


def _missing(key: object) -> PassMissingError:
    return PassMissingError(f"pass {key}: does not exist; `pass list` shows the passes of the stage")


def _condition_failed(error: ClientError) -> bool:
    return aws.error_code(error) == aws.CONDITION_FAILED
