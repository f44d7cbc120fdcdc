"""Stamping a pass's version, and reading it."""

from collections.abc import Collection, Mapping
from typing import Any, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.aws.tables.connection import Tables
from chalicelib.core.attributes import plain_item
from chalicelib.core.identifiers import PassId
from chalicelib.updates.protocol import RecheckRequest, RecheckStamp, Refusal, Version, VersionState

PASSES_PER_REQUEST = 100
"""What one BatchGetItem takes."""


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

    def state(self, pass_id: PassId) -> VersionState:
        """All that is kept of the pass beside its item, read after every write that was acknowledged before.

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
        return state_of(plain_item(response.get("Item") or {}))

    def refused(self, pass_ids: Collection[PassId]) -> set[PassId]:
        """Those of up to `PASSES_PER_REQUEST` passes whose refusal is on record.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        table = self._tables.versions.Meta.table_name
        found = self._tables.batch_get(
            {
                table: {
                    "Keys": [{"pass_id": {"S": str(pass_id)}} for pass_id in pass_ids],
                    "ProjectionExpression": "pass_id, refused",
                    "ConsistentRead": True,
                }
            }
        )
        return {PassId.parse(item["pass_id"]["S"]) for item in found[table] if "refused" in item}

    def send_refusals(self, pass_id: PassId, refusal: Refusal, *, changes: int) -> None:
        """Record that the newest item cannot become a pass. The next stamp removes it.

        Args:
            pass_id: which pass.
            refusal: why.
            changes: how many content changes were refused; the revision counts them, so that a pass which is stamped
                for the first time after a refusal counts as changed since its issue.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        record = {
            "reason": {"S": refusal.reason},
            "template": {"S": refusal.template},
            "refused_at": {"N": str(refusal.refused_at)},
        }
        self._update(
            pass_id,
            "SET refused = :refused ADD revision :changes",
            {":refused": {"M": record}, ":changes": {"N": str(changes)}},
        )

    def request_recheck(self, pass_id: PassId, request: RecheckRequest) -> None:
        """Note that a recheck was asked for.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        record = {
            "requested_at": {"N": str(request.requested_at)},
            "modified_at": {"N": str(request.modified_at)},
        }
        self._update(pass_id, "SET recheck_request = :request", {":request": {"M": record}})

    def stamp_at(
        self, pass_id: PassId, *, now: int, changes: int, deleted: bool, recheck: RecheckStamp | None = None
    ) -> Version | None:
        """Set `modified_at` to `now` (epoch seconds) if that is later than what is there; None where it is not.

        A refusal that is on record is removed.

        Args:
            pass_id: which pass.
            now: epoch seconds.
            changes: what the revision grows by.
            deleted: whether the item is gone.
            recheck: kept with the stamp, where it is a recheck that stamps.

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
            recheck=recheck,
        )

    def stamp_next(
        self, pass_id: PassId, *, changes: int, deleted: bool, recheck: RecheckStamp | None = None
    ) -> Version | None:
        """Set `modified_at` to one more than what is there; None where nothing is there. Otherwise like `stamp_at`.

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
            recheck=recheck,
        )

    def _stamp(
        self,
        pass_id: PassId,
        *,
        modified_at: Action,
        changes: int,
        deleted: bool,
        condition: Condition,
        recheck: RecheckStamp | None,
    ) -> Version | None:
        versions = self._tables.versions
        row = versions(str(pass_id))
        actions = [
            modified_at,
            versions.revision.add(changes),
            versions.refused.remove(),
            *self._deletion(deleted=deleted),
            *self._rechecked(recheck),
        ]
        if not self._tables.write_one("UpdateItem", lambda: row.update(actions=actions, condition=condition)):
            return None
        return Version(int(row.modified_at), int(row.revision), deleted=bool(row.deleted))

    def _deletion(self, *, deleted: bool) -> list[Action]:
        """A pass that comes back under the name of one that is gone has no person yet."""
        versions = self._tables.versions
        return [versions.deleted.set(True), versions.personalized.remove()] if deleted else [versions.deleted.remove()]

    def _rechecked(self, recheck: RecheckStamp | None) -> list[Action]:
        if recheck is None:
            return []
        record = {"message_id": recheck.message_id, "stamped_at": recheck.stamped_at}
        return [self._tables.versions.recheck_stamp.set(record)]

    def _update(self, pass_id: PassId, expression: str, values: dict[str, Any]) -> None:
        self._tables.call(
            "UpdateItem",
            {
                "TableName": self._tables.versions.Meta.table_name,
                "Key": {"pass_id": {"S": str(pass_id)}},
                "UpdateExpression": expression,
                "ExpressionAttributeValues": values,
            },
        )


def version_of(item: Mapping[str, object]) -> Version | None:
    """A version from the plain attributes of its row; None before the first stamp."""
    row = cast("dict[str, Any]", item)  # the table is ours alone: its rows have this form
    if "modified_at" not in row:
        return None
    return Version(int(row["modified_at"]), int(row["revision"]), deleted=bool(row.get("deleted")))


def state_of(item: Mapping[str, object]) -> VersionState:
    """All that a row holds, from its plain attributes."""
    row = cast("dict[str, Any]", item)
    refused, request, stamp = (row.get(name) for name in ("refused", "recheck_request", "recheck_stamp"))
    return VersionState(
        version=version_of(row),
        refusal=Refusal(refused["reason"], refused["template"], int(refused["refused_at"])) if refused else None,
        recheck_request=RecheckRequest(int(request["requested_at"]), int(request["modified_at"])) if request else None,
        recheck_stamp=RecheckStamp(stamp["message_id"], int(stamp["stamped_at"])) if stamp else None,
        personalized=bool(row.get("personalized")),
    )
