"""Reading the pipelines' items: for authorization, and for a download together with the version."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pynamodb.transactions import TransactWrite

from chalicelib.domain.attributes import plain_item
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.updates import Version, VersionState
from chalicelib.store.tables import Tables
from chalicelib.store.versions import state_of


@dataclass(frozen=True, slots=True)
class StoredPass:
    """A pass item as it stands in the table, not yet parsed, with the version that it is at least as new as.

    Args:
        attributes: all of the item's.
        state: what is kept of it beside the item, its version above all.
        personalized: whether a person has signed up with it.
    """

    attributes: dict[str, object] = field(repr=False)
    state: VersionState = field(default_factory=VersionState)
    personalized: bool = False

    @property
    def version(self) -> Version | None:
        """None before the first stamp."""
        return self.state.version


class Passes:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def for_authorization(self, pass_id: PassId) -> dict[str, object] | None:
        """The item's key and its own token if it has one; None where there is no such pass.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {
                "TableName": self._tables.passes,
                "Key": {"pass_id": {"S": str(pass_id)}},
                "ProjectionExpression": "pass_id, authentication_token",
                "ConsistentRead": True,
            },
        )
        item = response.get("Item")
        return plain_item(item) if item else None

    def get(self, pass_id: PassId) -> dict[str, object] | None:
        """The whole item, read after every write that was acknowledged before; None where there is no such pass.

        Raises:
            StoreError: DynamoDB did not answer.
            RefusedError: an attribute is not in DynamoDB's form.
        """
        response = self._tables.call(
            "GetItem",
            {"TableName": self._tables.passes, "Key": {"pass_id": {"S": str(pass_id)}}, "ConsistentRead": True},
        )
        item = response.get("Item")
        return plain_item(item) if item else None

    def with_version(self, pass_id: PassId) -> StoredPass | None:
        """The whole item and its version in one TransactGetItems, so that the content is never older than the stamp.

        Raises:
            StoreError: DynamoDB did not answer, or writers were in the way for too long.
        """
        key = {"pass_id": {"S": str(pass_id)}}
        response = self._tables.call(
            "TransactGetItems",
            {
                "TransactItems": [
                    {"Get": {"TableName": self._tables.passes, "Key": key}},
                    {"Get": {"TableName": self._tables.versions.Meta.table_name, "Key": key}},
                ]
            },
        )
        item, version = (member.get("Item") for member in response["Responses"])
        if not item:
            return None
        row = plain_item(version or {})
        return StoredPass(attributes=plain_item(item), state=state_of(row), personalized=bool(row.get("personalized")))

    def personalize(self, pass_id: PassId, info: Mapping[str, str]) -> bool:
        """Keep what a person gave on the item, and beside its version that they did.

        Returns:
            False where the pass is gone or was personalized before; then nothing is written.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        versions = self._tables.versions

        def write(transaction: TransactWrite) -> None:
            transaction.update(
                self._tables.items(str(pass_id)),
                actions=[self._tables.items.personalization.set(dict(info))],
                condition=self._tables.items.pass_id.exists(),
            )
            transaction.update(
                versions(str(pass_id)),
                actions=[versions.personalized.set(True)],
                condition=versions.personalized.does_not_exist(),
            )

        cancelled = self._tables.transact_write(write)
        return not cancelled
