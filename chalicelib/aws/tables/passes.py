"""Reads the pipelines' pass items: for authorization, with the version for a download, and completely."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pynamodb.transactions import TransactWrite

from chalicelib.aws.tables.connection import Tables
from chalicelib.aws.tables.versions import state_of
from chalicelib.core.attributes import plain_item
from chalicelib.core.identifiers import PassId, is_template_name
from chalicelib.updates.protocol import VersionState


@dataclass(frozen=True, slots=True)
class StoredPass:
    """A pass in the tables without its content.

    Args:
        attributes: the item's key and its own authentication token if it has one, not parsed.
        state: of the pass in the versions table.
    """

    attributes: dict[str, object] = field(repr=False)
    state: VersionState


_FOR_AUTHORIZATION = "pass_id, authentication_token"


class Passes:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def for_authorization(self, pass_id: PassId) -> dict[str, object] | None:
        """Read the item's key and its own token if it has one; None if there is no such pass.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {
                "TableName": self._tables.passes,
                "Key": {"pass_id": {"S": str(pass_id)}},
                "ProjectionExpression": _FOR_AUTHORIZATION,
                "ConsistentRead": True,
            },
        )
        item = response.get("Item")
        return plain_item(item) if item else None

    def for_download(self, pass_id: PassId) -> StoredPass | None:
        """Read the item's key, its own token if it has one, and the version, in one request.

        DynamoDB returns nothing else of the item, so the size of the response does not depend on the item's size.

        Returns:
            The pass; None if there is no such pass.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        keys = {"Keys": [{"pass_id": {"S": str(pass_id)}}], "ConsistentRead": True}
        versions = self._tables.versions.Meta.table_name
        found = self._tables.batch_get(
            {self._tables.passes: {**keys, "ProjectionExpression": _FOR_AUTHORIZATION}, versions: keys}
        )
        if not found[self._tables.passes]:
            return None
        row = plain_item(found[versions][0]) if found[versions] else {}
        return StoredPass(
            attributes=plain_item(found[self._tables.passes][0]),
            state=state_of(row),
        )

    def content(self, pass_id: PassId) -> dict[str, object] | None:
        """Read the whole item; None if there is no such pass.

        If it is read after the version, it is at least as new as that version.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {"TableName": self._tables.passes, "Key": {"pass_id": {"S": str(pass_id)}}, "ConsistentRead": True},
        )
        item = response.get("Item")
        return plain_item(item) if item else None

    def templates(self, pass_ids: Collection[PassId]) -> dict[PassId, str]:
        """Read the template names of up to 100 passes; passes without an item, or without a valid name, are left out.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        request = {
            "Keys": [{"pass_id": {"S": str(pass_id)}} for pass_id in pass_ids],
            "ProjectionExpression": "pass_id, #template",
            "ExpressionAttributeNames": {"#template": "template"},
        }
        found = self._tables.batch_get({self._tables.passes: request})[self._tables.passes]
        named = {item["pass_id"]["S"]: item.get("template", {}).get("S", "") for item in found}
        return {pass_id: name for pass_id in pass_ids if is_template_name(name := named.get(str(pass_id), ""))}

    def personalize(self, pass_id: PassId, info: Mapping[str, str]) -> bool:
        """Store a person's data with the item, and mark the version as personalized.

        Returns:
            False, without a write, if the pass was deleted or personalized before.

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
