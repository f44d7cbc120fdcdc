"""Stamping a pass's version, and reading it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.domain.attributes import plain_item
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.updates import Version
from chalicelib.store.tables import Tables


@dataclass(frozen=True, slots=True)
class PassState:
    """What this service knows of a pass beside its item.

    Args:
        version: None before the first stamp.
        personalized: whether a person has signed up with the pass.
    """

    version: Version | None = None
    personalized: bool = False


class Versions:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, pass_id: PassId) -> Version | None:
        """What is known of the pass's changes, read after every write that was acknowledged before.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        return self.state(pass_id).version

    def state(self, pass_id: PassId) -> PassState:
        """The version and whether the pass is personalized, by one strongly consistent read.

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
        row = plain_item(response.get("Item") or {})
        return PassState(version_of(row), personalized=bool(row.get("personalized")))

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
        actions = [modified_at, versions.revision.add(changes), *self._deletion(deleted=deleted)]
        if not self._tables.write_one("UpdateItem", lambda: row.update(actions=actions, condition=condition)):
            return None
        return Version(int(row.modified_at), int(row.revision), deleted=bool(row.deleted))

    def _deletion(self, *, deleted: bool) -> list[Action]:
        """A pass that comes back under the name of one that is gone has no person yet."""
        versions = self._tables.versions
        return [versions.deleted.set(True), versions.personalized.remove()] if deleted else [versions.deleted.remove()]


def version_of(item: Mapping[str, object]) -> Version | None:
    """A version from the plain attributes of its row; None before the first stamp."""
    row = cast("dict[str, Any]", item)  # the table is ours alone: its rows have this form
    if "modified_at" not in row:
        return None
    return Version(int(row["modified_at"]), int(row["revision"]), deleted=bool(row.get("deleted")))
