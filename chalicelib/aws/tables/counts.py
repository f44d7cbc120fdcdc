"""Counts holders: one row per pass, totals by pass type and template, and notes about removals.

Rows have a key of text, `id`. A pass's row has its pass id; other rows begin with their kind and a ':'.
"""

import hashlib
import time
from collections.abc import Collection, Mapping
from typing import Any

from pynamodb.transactions import TransactWrite

from chalicelib.aws.tables.connection import Tables
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.holders import Cause, Counted, PassCount, Removal, totals_of

NOTE_SECONDS = 3 * 86_400
"""How long a note about a removal is kept: a stream keeps its records for 24 hours, and a redrive takes a while."""
PASSES_PER_REQUEST = 20
"""TransactWriteItems accepts 100 actions: per pass its row, two totals if its template changed, and two days."""
REMOVALS_PER_REQUEST = 50
"""BatchGetItem accepts 100 keys, and a removed registration can have two notes."""
TOTAL, DAY, REMOVAL = "total:", "day:", "removal:"


class Counts:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of(self, pass_ids: Collection[PassId]) -> dict[PassId, PassCount]:
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

    def commit(self, counted: Mapping[PassId, Counted]) -> bool:
        """Write the counts of up to `PASSES_PER_REQUEST` passes, with the totals, in one transaction.

        Returns:
            False, without a write, if the count of a pass is no longer as it was read.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        counts = self._tables.counts
        totals = totals_of(counted)

        def write(transaction: TransactWrite) -> None:
            for pass_id, of_pass in counted.items():
                unchanged = (
                    counts.position == of_pass.before.position
                    if of_pass.before.position
                    else counts.position.does_not_exist()
                )
                transaction.update(
                    counts(str(pass_id)),
                    actions=[
                        counts.holders.set(of_pass.after.holders),
                        counts.position.set(of_pass.after.position),
                        counts.template.set(of_pass.after.template),
                    ],
                    condition=unchanged,
                )
            for (kind, template), change in totals.holders.items():
                transaction.update(counts(f"{TOTAL}{kind}/{template}"), actions=[counts.holders.add(change)])
            for (day, kind, template), added in totals.added.items():
                removed = totals.removed.get((day, kind, template), 0)
                transaction.update(
                    counts(f"{DAY}{day}:{kind}/{template}"),
                    actions=[counts.added.add(added), counts.removed.add(removed)],
                )
            for (day, kind, template), removed in totals.removed.items():
                if (day, kind, template) not in totals.added:
                    transaction.update(counts(f"{DAY}{day}:{kind}/{template}"), actions=[counts.removed.add(removed)])

        return not self._tables.transact_write(write)

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


def _count_of(item: Mapping[str, Any]) -> PassCount:
    return PassCount(
        holders=int(item["holders"]["N"]) if "holders" in item else 0,
        position=str(item["position"]["S"]) if "position" in item else "",
        template=str(item["template"]["S"]) if "template" in item else "",
    )
