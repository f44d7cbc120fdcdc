"""Four tables for one test, as in the stack's template but without a stream, so that no function processes them."""

import json
import secrets
from types import TracebackType
from typing import Any, Self

import boto3

from chalicelib.aws.tables import Store
from chalicelib.core.identifiers import PassId
from chalicelib.settings import Settings
from infra.local.processes import PROJECT

ROLES = ("passes", "versions", "registrations", "devices")
_RESOURCES = json.loads((PROJECT / "infra" / "deploy" / "resources.json").read_text())["Resources"]


class ScratchTables:
    """Create the tables, and delete them at the end of the context."""

    def __init__(self) -> None:
        self._dynamodb = boto3.client("dynamodb")
        prefix = secrets.token_hex(4)
        self.names = {role: f"scratch-{prefix}-{role}" for role in ROLES}

    def __enter__(self) -> Self:
        for role, name in self.names.items():
            properties = _RESOURCES[f"{role.title()}Table"]["Properties"]
            self._dynamodb.create_table(
                TableName=name,
                **{key: properties[key] for key in ("AttributeDefinitions", "KeySchema", "BillingMode")},
            )
        self._passes = boto3.resource("dynamodb").Table(self.names["passes"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name in self.names.values():
            self._dynamodb.delete_table(TableName=name)

    def store(self, client: Any = None) -> Store:  # noqa: ANN401 - botocore's clients have no types
        """Make the store over these tables."""
        return Store.connect(
            Settings(
                stage="scratch",
                push_queue_url="",
                dead_letter_queue_url="",
                passes_table=self.names["passes"],
                versions_table=self.names["versions"],
                registrations_table=self.names["registrations"],
                devices_table=self.names["devices"],
            ),
            client=client,
        )

    def write(self, pass_id: PassId, item: dict[str, object] | None) -> None:
        """Write an item as a pipeline does: PutItem, or DeleteItem for None."""
        if item is None:
            self._passes.delete_item(Key={"pass_id": str(pass_id)})
        else:
            self._passes.put_item(Item=item)
