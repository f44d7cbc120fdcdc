"""Decides on held removals: devices whose push tokens APNs refused, too many at once to remove them by itself."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import time
from typing import Any
from uuid import uuid4

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import Device
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier
from chalicelib.updates.push_tasks import NotifyDevices, in_chunks
from chalicelib.updates.removals import HeldRemovals, parse_held_removals
from infra.operate.queues import StageQueues
from infra.stage.stage import Stage

ROLE = "held_removals"
DECIDE_SECONDS = 1800
"""How long held removals stay hidden while they are processed; unprocessed ones become visible after it."""


@dataclass(frozen=True, slots=True)
class HeldCount:
    """Held removals of one pass type and reason.

    Args:
        pass_type_identifier: the topic of the pushes.
        reason: APNs' status and reason.
        devices: number of devices.
        oldest_change: time of the first change of which a device was not notified, epoch seconds.
    """

    pass_type_identifier: str
    reason: str
    devices: int
    oldest_change: float


@dataclass(frozen=True, slots=True)
class Decided:
    """Result of a decision on held removals.

    Args:
        removed: number of devices removed.
        pushed: number of devices to which a push is sent again.
        unregistered: number of devices that no longer existed.
    """

    removed: int
    pushed: int
    unregistered: int


class RemovalQueue:
    """The held removals of a deployed stage.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._queues = StageQueues(stage)

    def count_removals(self) -> list[HeldCount]:
        """Return the held removals by pass type and reason; a device that is held several times counts once."""
        devices: dict[tuple[str, str], set[DeviceLibraryIdentifier]] = defaultdict(set)
        oldest: dict[tuple[str, str], float] = {}
        messages = self._queues.received(ROLE)
        for message in messages:
            held = _held(message["Body"])
            if held is not None:
                key = (held.pass_type_identifier, held.reason)
                devices[key].update(device.identifier for device in held.devices)
                oldest[key] = min(oldest.get(key, held.changed_at), held.changed_at)
        for message in messages:
            self._queues.make_visible(ROLE, message)
        return [
            HeldCount(*key, devices=len(devices[key]), oldest_change=oldest[key]) for key in sorted(devices, key=str)
        ]

    def accept_removals(
        self, store: Store, *, pass_type_identifier: str | None, on_progress: Callable[[int], None]
    ) -> Decided:
        """Remove the devices whose removal is held, with their registrations.

        A device that has registered since the refused push is kept, and a push is sent to it again.

        Args:
            store: store of the stage.
            pass_type_identifier: only removals of this type; None for all.
            on_progress: called with the number of devices processed.

        Raises:
            StoreError: DynamoDB refused a request; the remaining removals are still held.
        """
        removed = pushed = unregistered = 0
        for message, held in self._held_messages(pass_type_identifier):
            kept: list[DeviceLibraryIdentifier] = []
            for device in held.devices:
                row = store.devices.get(device.identifier)
                if row is None:
                    unregistered += 1
                elif _remove(store, row, updated_at=device.updated_at):
                    removed += 1
                else:
                    kept.append(device.identifier)
                    pushed += 1
                on_progress(removed + pushed + unregistered)
            self._push_again(held, kept)
            self._queues.delete(ROLE, message)
        return Decided(removed, pushed, unregistered)

    def discard_removals(self, *, pass_type_identifier: str | None, on_progress: Callable[[int], None]) -> Decided:
        """Discard held removals, and push to their devices again.

        Args:
            pass_type_identifier: only removals of this type; None for all.
            on_progress: called with the number of devices processed.
        """
        pushed = 0
        for message, held in self._held_messages(pass_type_identifier):
            self._push_again(held, [device.identifier for device in held.devices])
            self._queues.delete(ROLE, message)
            pushed += len(held.devices)
            on_progress(pushed)
        return Decided(removed=0, pushed=pushed, unregistered=0)

    def _held_messages(self, pass_type_identifier: str | None) -> Iterator[tuple[dict[str, Any], HeldRemovals]]:
        """Yield the messages of held removals of one type, or of all; other messages become visible again."""
        for message in self._queues.received(ROLE, hidden_seconds=DECIDE_SECONDS):
            held = _held(message["Body"])
            if held is not None and pass_type_identifier in (None, held.pass_type_identifier):
                yield message, held
            else:
                self._queues.make_visible(ROLE, message)

    def _push_again(self, held: HeldRemovals, devices: list[DeviceLibraryIdentifier]) -> None:
        task = NotifyDevices(held.pass_type_identifier, tuple(devices), time(), change=f"by-hand-{uuid4()}")
        for chunk in in_chunks(task):
            self._queues.push(chunk)


def _remove(store: Store, row: Device | None, *, updated_at: int) -> bool:
    """Remove a device with its registrations; return False if it has registered since."""
    while row is not None and row.updated_at == updated_at:
        store.devices.remove(row)
        row = store.devices.get(row.identifier)
    return row is None


def _held(body: str) -> HeldRemovals | None:
    try:
        return parse_held_removals(body)
    except RefusedError:
        return None
