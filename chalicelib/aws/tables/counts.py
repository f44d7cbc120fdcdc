"""Counts holders: one row per pass, totals by pass type and template, and notes about removals.

Rows have a key of text, `id`. A pass's row has its pass id; other rows begin with their kind and a ':'.
"""

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib.aws.tables.connection import Tables
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.removal_notes import Cause, Removal

if TYPE_CHECKING:
    from chalicelib.updates.holders import Counted, PassCount, PassUpdates

NOTE_SECONDS = 3 * 86_400
"""How long a note about a removal is kept: a stream keeps its records for 24 hours, and a redrive takes a while."""
PASSES_PER_REQUEST = 19
"""TransactWriteItems accepts 100 actions: per pass its row, two totals if its template changed, and two days; and the
row of the index.
"""
UPDATED_PASSES_PER_REQUEST = 49
"""As above: per pass its row and a day, and the row of the index."""
REMOVALS_PER_REQUEST = 50
"""BatchGetItem accepts 100 keys, and a removed registration can have two notes."""
TOTAL, DAY, REMOVAL = "total:", "day:", "removal:"
INDEX = "index"
"""Row with the names of all totals, so that they are read without a scan."""

CountKind = tuple[str, str]
"""Pass type identifier and template."""


class Counts:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of(self, pass_ids: Collection[PassId]) -> dict[PassId, "PassCount"]:
        """Read the counts of up to 100 passes; a pass without a row has an empty count.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        found = {item["id"]["S"]: item for item in self._get([str(pass_id) for pass_id in pass_ids])}
        return {pass_id: _count_of(found.get(str(pass_id), {})) for pass_id in pass_ids}

    def removals(
        self, registrations: Collection[tuple[PassId, DeviceLibraryIdentifier]]
    ) -> dict[tuple[PassId, DeviceLibraryIdentifier], list[Removal]]:
        """Read the notes about the removals of up to `REMOVALS_PER_REQUEST` registrations.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        keys = {
            registration: (removal_key(registration[1]), removal_key(registration[1], registration[0]))
            for registration in registrations
        }
        found = {item["id"]["S"]: item for item in self._get(sorted({key for both in keys.values() for key in both}))}
        return {
            registration: [
                Removal(Cause(found[key]["cause"]["S"]), int(found[key]["registered_until"]["N"]))
                for key in both
                if key in found
            ]
            for registration, both in keys.items()
        }

    def commit(self, counted: Mapping[PassId, "Counted"]) -> bool:
        """Write the counts of up to `PASSES_PER_REQUEST` passes, with the totals, in one transaction.

        Returns:
            False, without a write, if the count of a pass is no longer as it was read.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        from chalicelib.updates.holders import totals_of

        counts = self._tables.counts
        totals = totals_of(counted)

        def write(transaction: TransactWrite) -> None:
            for pass_id, of_pass in counted.items():
                unchanged = (
                    counts.position == of_pass.before.position
                    if of_pass.before.position
                    else counts.position.does_not_exist()
                )
                actions: list[Action] = [
                    counts.holders.set(of_pass.after.holders),
                    counts.template.set(of_pass.after.template),
                    *([counts.position.set(of_pass.after.position)] if of_pass.after.position else []),
                ]
                transaction.update(counts(str(pass_id)), actions=actions, condition=unchanged)
            if new := {
                f"{pass_id.pass_type_identifier}/{of_pass.after.template}"
                for pass_id, of_pass in counted.items()
                if not of_pass.before.position or of_pass.before.template != of_pass.after.template
            }:
                transaction.update(counts(INDEX), actions=[counts.kinds.add(new)])
            for (kind, template), change in totals.holders.items():
                transaction.update(counts(total_key((kind, template))), actions=[counts.holders.add(change)])
            for (day, kind, template), added in totals.added.items():
                removed = totals.removed.get((day, kind, template), 0)
                transaction.update(
                    counts(day_key(day, (kind, template))),
                    actions=[counts.added.add(added), counts.removed.add(removed)],
                )
            for (day, kind, template), removed in totals.removed.items():
                if (day, kind, template) not in totals.added:
                    transaction.update(counts(day_key(day, (kind, template))), actions=[counts.removed.add(removed)])

        return not self._tables.transact_write(write)

    def commit_updates(self, updates: Mapping[PassId, "PassUpdates"]) -> bool:
        """Count the updates of up to `UPDATED_PASSES_PER_REQUEST` passes in one transaction.

        Returns:
            False, without a write, if the updates of a pass were counted since its count was read.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        from chalicelib.updates.holders import updates_by_day

        counts = self._tables.counts

        def write(transaction: TransactWrite) -> None:
            for pass_id, of_pass in updates.items():
                unchanged = (
                    counts.announced == of_pass.before.announced
                    if of_pass.before.announced
                    else counts.announced.does_not_exist()
                )
                action = counts.announced.set(of_pass.announced)
                transaction.update(counts(str(pass_id)), actions=[action], condition=unchanged)
            if new := {
                f"{pass_id.pass_type_identifier}/{of_pass.template}"
                for pass_id, of_pass in updates.items()
                if not of_pass.before.announced or of_pass.before.template != of_pass.template
            }:
                transaction.update(counts(INDEX), actions=[counts.kinds.add(new)])
            for (day, kind, template), updated in updates_by_day(updates).items():
                transaction.update(counts(day_key(day, (kind, template))), actions=[counts.updated.add(updated)])

        return not self._tables.transact_write(write)

    def kinds(self) -> list[CountKind]:
        """Read the pass types and templates that have totals, in one request.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        rows = self._get([INDEX])
        names = rows[0].get("kinds", {}).get("SS", []) if rows else []
        return sorted((name.partition("/")[0], name.partition("/")[2]) for name in names)

    def totals(self, kinds: Sequence[CountKind]) -> dict[CountKind, int]:
        """Read the holders of up to 100 pass types and templates.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        found = {item["id"]["S"]: item for item in self._get([total_key(kind) for kind in kinds])}
        return {kind: _number(found.get(total_key(kind), {}), "holders") for kind in kinds}

    def days(self, days: Sequence[str], kind: CountKind) -> dict[str, tuple[int, int, int]]:
        """Read how many were added, removed and updated on up to 100 days, such as `2026-11-26`.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        found = {item["id"]["S"]: item for item in self._get([day_key(day, kind) for day in days])}
        rows = {day: found.get(day_key(day, kind), {}) for day in days}
        return {
            day: (_number(row, "added"), _number(row, "removed"), _number(row, "updated")) for day, row in rows.items()
        }

    def correct_total(self, kind: CountKind, *, seen: int, holders: int) -> bool:
        """Set the holders of a pass type and template; False, without a write, if the total is no longer as seen.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        counts = self._tables.counts
        row = counts(total_key(kind))
        as_seen = counts.holders == seen
        if not seen:
            as_seen |= counts.holders.does_not_exist()
        return self._tables.write_one(
            "UpdateItem", lambda: row.update(actions=[counts.holders.set(holders)], condition=as_seen)
        )

    def _get(self, keys: Collection[str]) -> list[dict[str, Any]]:
        table = self._tables.counts.Meta.table_name
        if not keys:
            return []
        request = {table: {"Keys": [{"id": {"S": key}} for key in keys], "ConsistentRead": True}}
        return self._tables.batch_get(request)[table]


def note_removal(
    tables: Tables, transaction: TransactWrite, device: DeviceLibraryIdentifier, pass_id: PassId | None, note: Removal
) -> None:
    """Add a note to the transaction that removes registrations. A stage without a table of counts has no events.

    Args:
        tables: the stage's.
        transaction: the removal.
        device: of the registrations.
        pass_id: of the registration; None for all registrations of the device.
        note: to write.
    """
    if tables.counts.Meta.table_name:
        transaction.save(
            tables.counts(
                removal_key(device, pass_id),
                cause=note.cause.value,
                registered_until=note.registered_until,
                expires_at=int(time.time()) + NOTE_SECONDS,
            )
        )


def removal_key(device: DeviceLibraryIdentifier, pass_id: PassId | None = None) -> str:
    """Return the key of a note: a hash, which has a limited length and does not contain the identifier."""
    text = "\n".join([device.value, *([] if pass_id is None else [str(pass_id)])])
    return REMOVAL + hashlib.sha256(text.encode()).hexdigest()


def total_key(kind: CountKind) -> str:
    """Return the key of the total of a pass type and template."""
    return f"{TOTAL}{kind[0]}/{kind[1]}"


def day_key(day: str, kind: CountKind) -> str:
    """Return the key of a day of a pass type and template."""
    return f"{DAY}{day}:{kind[0]}/{kind[1]}"


def _number(item: Mapping[str, Any], name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def _count_of(item: Mapping[str, Any]) -> "PassCount":
    from chalicelib.updates.holders import PassCount

    return PassCount(
        holders=_number(item, "holders"),
        position=str(item["position"]["S"]) if "position" in item else "",
        template=str(item["template"]["S"]) if "template" in item else "",
        announced=_number(item, "announced"),
    )
