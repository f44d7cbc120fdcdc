"""Reads the pipelines' items: the whole item, or the key and token that authorization needs."""

from collections.abc import Mapping

from pynamodb.transactions import TransactWrite

from chalicelib.domain.attributes import plain_item
from chalicelib.domain.identifiers import PassId
from chalicelib.store.tables import Tables


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
        """All attributes of the item, not yet parsed; None where there is no such pass.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {"TableName": self._tables.passes, "Key": {"pass_id": {"S": str(pass_id)}}, "ConsistentRead": True},
        )
        item = response.get("Item")
        return plain_item(item) if item else None

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
