"""Stamping a pass's version, and reading it."""

from collections.abc import Mapping
from typing import Any, cast

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.domain.identifiers import PassId
from chalicelib.domain.updates import Version
from chalicelib.store.tables import Tables, VersionRow, condition_failed, translated


class Versions:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, pass_id: PassId) -> Version | None:
        """What is known of the pass's changes, read after every write that was acknowledged before.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {
                "TableName": self._tables.versions.Meta.table_name,
                "Key": {"pass_id": {"S": str(pass_id)}},
                "ConsistentRead": True,
            },
        )
        item = response.get("Item")
        return _from_row(self._tables.versions.from_raw_data(item)) if item else None

    def stamp_at(self, pass_id: PassId, *, now: int, changes: int, deleted: bool) -> Version | None:
        """Set `modified_at` to `now` (epoch seconds) if that is later than what is there; None where it is not.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        versions = self._tables.versions
        return self._stamp(
            pass_id,
            modified_at=versions.modified_at.set(now),
            changes=changes,
            deleted=deleted,
            condition=versions.modified_at.does_not_exist() | (versions.modified_at < now),
        )

    def stamp_next(self, pass_id: PassId, *, changes: int, deleted: bool) -> Version | None:
        """Set `modified_at` to one more than what is there; None where nothing is there.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        versions = self._tables.versions
        return self._stamp(
            pass_id,
            modified_at=versions.modified_at.set(versions.modified_at + 1),
            changes=changes,
            deleted=deleted,
            condition=versions.modified_at.exists(),
        )

    def _stamp(
        self, pass_id: PassId, *, modified_at: Action, changes: int, deleted: bool, condition: Condition
    ) -> Version | None:
        versions = self._tables.versions
        row = versions(str(pass_id))
        try:
            with translated("UpdateItem"):
                row.update(
                    actions=[
                        modified_at,
                        versions.revision.add(changes),
                        versions.deleted.set(True) if deleted else versions.deleted.remove(),
                    ],
                    condition=condition,
                )
        except UpdateError as error:
            if condition_failed(error):
                return None
            raise
        return _from_row(row)


def version_of(item: Mapping[str, object]) -> Version:
    """A version from the plain attributes of its row."""
    row = cast("dict[str, Any]", item)  # the table is ours alone: its rows have this form
    return Version(int(row["modified_at"]), int(row["revision"]), deleted=bool(row.get("deleted")))


def _from_row(row: VersionRow) -> Version:
    return Version(int(row.modified_at), int(row.revision), deleted=bool(row.deleted))
