"""The passes of a stage, one at a time, with the tables around them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from chalicelib.domain.errors import RefusedError
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.updates import Version
from chalicelib.settings import Settings
from chalicelib.store.versions import version_of

SECRET_ATTRIBUTES = ("authentication_token", "personalization")
"""Never shown: the first is the pass's secret, the second is what a person gave at sign-up."""


class PassMissingError(RefusedError):
    """There is no such pass."""


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


class PassTable:
    """The passes of one stage."""

    def __init__(self, settings: Settings) -> None:
        tables = boto3.resource("dynamodb")
        self._passes = tables.Table(settings.passes_table)
        self._versions = tables.Table(settings.versions_table)
        self._registrations = tables.Table(settings.registrations_table)

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
            raise PassMissingError(f"pass {pass_id}: there is none; `pass list` shows those that there are")
        return dict(item)
