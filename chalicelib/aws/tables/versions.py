"""Stamping a pass's version, and reading it."""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.aws.tables.connection import Tables
from chalicelib.core.attributes import plain_item
from chalicelib.core.identifiers import PassId
from chalicelib.updates.protocol import RecheckRequest, RecheckStamp, Refusal, Version, VersionState

if TYPE_CHECKING:
    from chalicelib.updates.events import EventNote
    from chalicelib.updates.fan_outs import FanOutProgress, FanOutState

PASSES_PER_REQUEST = 100
"""Limit of BatchGetItem."""


class Versions:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, pass_id: PassId) -> Version | None:
        """Read the version of a pass, strongly consistent; None if it was never stamped.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        return self.state(pass_id).version

    def state(self, pass_id: PassId) -> VersionState:
        """Read the whole state of a pass, strongly consistent.

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
        """Select those of up to `PASSES_PER_REQUEST` passes that have a recorded refusal.

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

    def record_refusal(self, pass_id: PassId, refusal: Refusal, *, changes: int) -> None:
        """Record that the newest item cannot become a pass. The next stamp that is announced removes it.

        Args:
            pass_id: of the pass.
            refusal: the reason.
            changes: number of refused content changes; the revision counts them, so that a pass that is first stamped
                after a refusal counts as changed since its issue.

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
        """Record that a recheck was requested.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        record = {
            "requested_at": {"N": str(request.requested_at)},
            "modified_at": {"N": str(request.modified_at)},
        }
        self._update(pass_id, "SET recheck_request = :request", {":request": {"M": record}})

    def stamp_at(
        self,
        pass_id: PassId,
        *,
        now: int,
        changes: int,
        deleted: bool,
        record: str = "",
        recheck: RecheckStamp | None = None,
    ) -> Version | None:
        """Set `modified_at` to `now` if that is later than the current value.

        A stamp for a stream record or a recheck is announced, and removes a recorded refusal. Any other stamp, for
        example of a personalization, was made without reading the item and does neither.

        Args:
            pass_id: of the pass.
            now: epoch seconds.
            changes: added to the revision.
            deleted: True if the item was deleted.
            record: identifies the stream record that is stamped and will be announced; empty for other stamps.
            recheck: stored with the stamp of a recheck; None for other stamps.

        Returns:
            The new version; None if the current `modified_at` is not earlier, or if the record was stamped before and
            no refusal was recorded since.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        versions = self._tables.versions
        return self._stamp(
            pass_id,
            to=now,
            changes=changes,
            deleted=deleted,
            record=record,
            condition=versions.modified_at.does_not_exist() | (versions.modified_at < now),
            recheck=recheck,
        )

    def stamp_next(
        self,
        pass_id: PassId,
        *,
        changes: int,
        deleted: bool,
        record: str = "",
        recheck: RecheckStamp | None = None,
    ) -> Version | None:
        """Set `modified_at` to the current value plus one; None if there is no value, or the record was stamped before.

        Otherwise like `stamp_at`.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        versions = self._tables.versions
        return self._stamp(
            pass_id,
            to=versions.modified_at + 1,
            changes=changes,
            deleted=deleted,
            record=record,
            condition=versions.modified_at.exists(),
            recheck=recheck,
        )

    def fan_out_state(self, pass_id: PassId) -> "FanOutState":
        """Read the announced stamp and the progress of its fan-out.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        from chalicelib.updates.fan_outs import FanOutProgress, FanOutState

        response = self._tables.call(
            "GetItem",
            {
                "TableName": self._tables.versions.Meta.table_name,
                "Key": {"pass_id": {"S": str(pass_id)}},
                "ProjectionExpression": "announced, fan_out",
                "ConsistentRead": True,
            },
        )
        row: dict[str, Any] = plain_item(response.get("Item") or {})
        progress = FanOutProgress.parse(str(row["fan_out"])) if "fan_out" in row else None
        return FanOutState(int(row.get("announced", 0)), progress)

    def advance_fan_out(self, pass_id: PassId, *, before: "FanOutProgress | None", after: "FanOutProgress") -> bool:
        """Write the progress of a fan-out; False if it is no longer `before`, or a newer change is announced.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        versions = self._tables.versions
        unchanged = versions.fan_out.does_not_exist() if before is None else versions.fan_out == before.encode()
        current = versions.announced.does_not_exist() | (versions.announced <= after.modified_at)
        row = versions(str(pass_id))
        actions: list[Action] = [versions.fan_out.set(after.encode())]
        return self._tables.write_one("UpdateItem", lambda: row.update(actions=actions, condition=unchanged & current))

    def note_delivery(self, client: str, *, at: float) -> None:
        """Record that an APNs client has delivered a push (`updates/removals.py`).

        Args:
            client: identifies credential and host, without a secret. The key has no `/`, so it equals no pass id.
            at: epoch seconds.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        versions = self._tables.versions
        row = versions(_client_key(client))
        self._tables.write_one("UpdateItem", lambda: row.update(actions=[versions.delivered_at.set(int(at))]))

    def note_event(self, note: "EventNote", *, at: float, interval_seconds: int) -> bool:
        """Write an event that the stream of the table delivers to the stage's bus.

        Args:
            note: the event.
            at: epoch seconds.
            interval_seconds: minimum time between two notes of the same key; 0 to write each.

        Returns:
            False, without a write, if there was a note of the same key within the interval.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        versions = self._tables.versions
        row = versions(note.key)
        content = json.dumps({"event": note.name, "detail": dict(note.detail)})
        actions: list[Action] = [versions.note.set(content), versions.noted_at.set(int(at))]
        due = versions.noted_at.does_not_exist() | (versions.noted_at <= int(at) - interval_seconds)
        return self._tables.write_one(
            "UpdateItem", lambda: row.update(actions=actions, condition=due if interval_seconds else None)
        )

    def last_delivery(self, client: str) -> int | None:
        """Read the time of the last recorded delivery of an APNs client, in epoch seconds; None without one.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {
                "TableName": self._tables.versions.Meta.table_name,
                "Key": {"pass_id": {"S": _client_key(client)}},
                "ConsistentRead": True,
            },
        )
        item = response.get("Item", {})
        return int(item["delivered_at"]["N"]) if "delivered_at" in item else None

    def _stamp(
        self,
        pass_id: PassId,
        *,
        to: Any,  # noqa: ANN401 - a number, or pynamodb's form of a sum
        changes: int,
        deleted: bool,
        record: str,
        condition: Condition,
        recheck: RecheckStamp | None,
    ) -> Version | None:
        versions = self._tables.versions
        row = versions(str(pass_id))
        actions: list[Action] = [
            versions.modified_at.set(to),
            versions.revision.add(changes),
            *self._deletion(deleted=deleted),
            *self._rechecked(recheck),
        ]
        if record or recheck is not None:
            actions += [versions.announced.set(to), versions.refused.remove()]
        if record:
            actions.append(versions.last_record.set(record))
            is_new = versions.last_record.does_not_exist() | (versions.last_record != record)
            condition = condition & (is_new | versions.refused.exists())
        if not self._tables.write_one("UpdateItem", lambda: row.update(actions=actions, condition=condition)):
            return None
        return Version(
            int(row.modified_at),
            int(row.revision),
            deleted=bool(row.deleted),
            announced=int(row.announced or 0),
            last_record=row.last_record or "",
            fanned_out=row.fan_out is not None,
        )

    def _deletion(self, *, deleted: bool) -> list[Action]:
        """Mark the pass as deleted or not. A new pass with the id of a deleted one is not personalized yet."""
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


def _client_key(client: str) -> str:
    return f"apns-client {client}"


def version_of(item: Mapping[str, object]) -> Version | None:
    """A version from the plain attributes of its row; None before the first stamp."""
    row = cast("dict[str, Any]", item)  # the table is ours alone: its rows have this form
    if "modified_at" not in row:
        return None
    return Version(
        int(row["modified_at"]),
        int(row["revision"]),
        deleted=bool(row.get("deleted")),
        announced=int(row.get("announced", 0)),
        last_record=str(row.get("last_record", "")),
        fanned_out="fan_out" in row,
    )


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
