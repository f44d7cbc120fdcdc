"""The four tables in memory: implements the requests of `chalicelib.aws.tables` without DynamoDB.

`test_memory.py` compares it with DynamoDB. It has no size limits, no throttling, and no pages cut by size.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from operator import attrgetter
from typing import cast

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.counts import Counts
from chalicelib.aws.tables.devices import REMOVED_PASSES_PER_REQUEST, Device, Devices
from chalicelib.aws.tables.passes import Passes, StoredPass
from chalicelib.aws.tables.registrations import RegistrationPage, Registrations
from chalicelib.aws.tables.timelines import Timelines
from chalicelib.aws.tables.versions import Versions
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.updates.events import EventNote
from chalicelib.updates.fan_outs import FanOutProgress, FanOutState
from chalicelib.updates.pacing import StoppedPushes
from chalicelib.updates.protocol import HeldPass, RecheckRequest, RecheckStamp, Refusal, Version, VersionState

Held = dict[DeviceLibraryIdentifier, int]
"""`registered_at` by device."""


@dataclass
class Memory:
    """The rows."""

    items: dict[PassId, dict[str, object]] = field(default_factory=dict)
    versions: dict[PassId, Version] = field(default_factory=dict)
    notes: list[EventNote] = field(default_factory=list)
    noted_at: dict[str, int] = field(default_factory=dict)
    revisions: dict[PassId, int] = field(default_factory=dict)
    """Refusals by pass; a pass whose every item was refused has one and no version."""
    refusals: dict[PassId, Refusal] = field(default_factory=dict)
    requests: dict[PassId, RecheckRequest] = field(default_factory=dict)
    recheck_stamps: dict[PassId, RecheckStamp] = field(default_factory=dict)
    personalized: set[PassId] = field(default_factory=set)
    fan_outs: dict[PassId, FanOutProgress] = field(default_factory=dict)
    deliveries: dict[str, int] = field(default_factory=dict)
    registrations: dict[PassId, Held] = field(default_factory=dict)
    devices: dict[DeviceLibraryIdentifier, Device] = field(default_factory=dict)
    timelines: dict[str, int] = field(default_factory=dict)
    stops: dict[str, StoppedPushes] = field(default_factory=dict)
    waiting_fan_outs: set[PassId] = field(default_factory=set)

    def version(self, pass_id: PassId) -> Version | None:
        version = self.versions.get(pass_id)
        return replace(version, fanned_out=pass_id in self.fan_outs) if version is not None else None

    def state(self, pass_id: PassId) -> VersionState:
        return VersionState(
            self.version(pass_id),
            self.refusals.get(pass_id),
            self.requests.get(pass_id),
            self.recheck_stamps.get(pass_id),
            personalized=pass_id in self.personalized,
        )

    def store(self) -> Store:
        """The store that the flows use."""
        return Store(
            cast("Passes", MemoryPasses(self)),
            cast("Versions", MemoryVersions(self)),
            cast("Registrations", MemoryRegistrations(self)),
            cast("Devices", MemoryDevices(self)),
            cast("Counts", None),  # no flow of these tests counts
            cast("Timelines", MemoryTimelines(self)),
        )


@dataclass
class MemoryPasses:
    rows: Memory

    def for_authorization(self, pass_id: PassId) -> dict[str, object] | None:
        item = self.rows.items.get(pass_id)
        return None if item is None else {k: v for k, v in item.items() if k in ("pass_id", "authentication_token")}

    def for_download(self, pass_id: PassId) -> StoredPass | None:
        item = self.for_authorization(pass_id)
        if item is None:
            return None
        return StoredPass(item, self.rows.state(pass_id))

    def content(self, pass_id: PassId) -> dict[str, object] | None:
        item = self.rows.items.get(pass_id)
        return None if item is None else dict(item)

    def personalize(self, pass_id: PassId, info: Mapping[str, str]) -> bool:
        if pass_id not in self.rows.items or pass_id in self.rows.personalized:
            return False
        self.rows.items[pass_id]["personalization"] = dict(info)
        self.rows.personalized.add(pass_id)
        return True


@dataclass
class MemoryVersions:
    rows: Memory

    def get(self, pass_id: PassId) -> Version | None:
        return self.rows.version(pass_id)

    def state(self, pass_id: PassId) -> VersionState:
        return self.rows.state(pass_id)

    def refused(self, pass_ids: Collection[PassId]) -> set[PassId]:
        return {pass_id for pass_id in pass_ids if pass_id in self.rows.refusals}

    def record_refusal(self, pass_id: PassId, refusal: Refusal, *, changes: int) -> None:
        self.rows.refusals[pass_id] = refusal
        self.rows.revisions[pass_id] = self.rows.revisions.get(pass_id, 0) + changes
        if (version := self.rows.versions.get(pass_id)) is not None:
            self.rows.versions[pass_id] = replace(version, revision=self.rows.revisions[pass_id])

    def request_recheck(self, pass_id: PassId, request: RecheckRequest) -> None:
        self.rows.requests[pass_id] = request

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
        version = self.rows.versions.get(pass_id)
        if version is not None and version.modified_at >= now:
            return None
        return self.put(pass_id, now, changes=changes, deleted=deleted, record=record, recheck=recheck)

    def stamp_next(
        self,
        pass_id: PassId,
        *,
        changes: int,
        deleted: bool,
        record: str = "",
        recheck: RecheckStamp | None = None,
    ) -> Version | None:
        version = self.rows.versions.get(pass_id)
        if version is None:
            return None
        modified_at = version.modified_at + 1
        return self.put(pass_id, modified_at, changes=changes, deleted=deleted, record=record, recheck=recheck)

    def fan_out_state(self, pass_id: PassId) -> FanOutState:
        version = self.rows.versions.get(pass_id)
        return FanOutState(version.announced if version else 0, self.rows.fan_outs.get(pass_id))

    def advance_fan_out(self, pass_id: PassId, *, before: FanOutProgress | None, after: FanOutProgress) -> bool:
        if self.fan_out_state(pass_id).announced > after.modified_at or self.rows.fan_outs.get(pass_id) != before:
            return False
        self.rows.fan_outs[pass_id] = after
        return True

    def note_delivery(self, client: str, *, at: float) -> None:
        self.rows.deliveries[client] = int(at)

    def note_event(self, note: EventNote, *, at: float, interval_seconds: int) -> bool:
        noted_at = self.rows.noted_at.get(note.key)
        if interval_seconds and noted_at is not None and noted_at > int(at) - interval_seconds:
            return False
        self.rows.noted_at[note.key] = int(at)
        self.rows.notes.append(note)
        return True

    def last_delivery(self, client: str) -> int | None:
        return self.rows.deliveries.get(client)

    def put(
        self,
        pass_id: PassId,
        modified_at: int,
        *,
        changes: int,
        deleted: bool,
        record: str,
        recheck: RecheckStamp | None,
    ) -> Version | None:
        before = self.rows.versions.get(pass_id, Version(0, 0))
        if record and before.last_record == record and pass_id not in self.rows.refusals:
            return None
        self.rows.revisions[pass_id] = self.rows.revisions.get(pass_id, 0) + changes
        version = replace(before, modified_at=modified_at, revision=self.rows.revisions[pass_id], deleted=deleted)
        if record or recheck is not None:
            version = replace(version, announced=modified_at)
            self.rows.refusals.pop(pass_id, None)
        if record:
            version = replace(version, last_record=record)
        self.rows.versions[pass_id] = version
        if recheck is not None:
            self.rows.recheck_stamps[pass_id] = recheck
        if version.deleted:
            self.rows.personalized.discard(pass_id)
        return self.rows.version(pass_id)


@dataclass
class MemoryRegistrations:
    rows: Memory

    def create(
        self,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        *,
        push_token: PushToken,
        at: float,
        wallet: Wallet = Wallet.APPLE,
    ) -> bool:
        if device in self.rows.registrations.get(pass_id, {}):
            return False
        self.refresh(device, pass_id, push_token=push_token, at=at, wallet=wallet)
        return True

    def refresh(
        self,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        *,
        push_token: PushToken,
        at: float,
        wallet: Wallet = Wallet.APPLE,
    ) -> None:
        self.rows.registrations.setdefault(pass_id, {})[device] = int(at)
        before = self.rows.devices.get(device)
        passes = (before.passes if before else frozenset()) | {pass_id}
        self.rows.devices[device] = Device(device, push_token, int(at * 1000), passes, wallet=wallet)

    def delete(self, device: DeviceLibraryIdentifier, pass_id: PassId, *, registered_at: int | None = None) -> bool:
        held = self.rows.registrations.get(pass_id, {})
        if device not in held or (registered_at is not None and held[device] != registered_at):
            return False
        del held[device]
        row = self.rows.devices[device]
        self.rows.devices[device] = replace(row, passes=row.passes - {pass_id})
        return True

    def page(self, pass_id: PassId, *, after: DeviceLibraryIdentifier | None, limit: int) -> RegistrationPage:
        held = self.rows.registrations.get(pass_id, {})
        behind = [device for device in held if after is None or device.value > after.value]
        first = nsmallest(limit, behind, key=attrgetter("value"))
        # DynamoDB stops at the limit and does not check whether there are more rows
        return RegistrationPage({device: held[device] for device in first}, more=len(behind) >= limit)


@dataclass
class MemoryDevices:
    rows: Memory

    def get(self, identifier: DeviceLibraryIdentifier) -> Device | None:
        return self.rows.devices.get(identifier)

    def held_passes(self, identifier: DeviceLibraryIdentifier, pass_ids: Sequence[PassId]) -> dict[PassId, HeldPass]:
        return {p: HeldPass(self.rows.version(p), self.rows.registrations.get(p, {}).get(identifier)) for p in pass_ids}

    def with_push_tokens(self, identifiers: Collection[DeviceLibraryIdentifier]) -> list[Device]:
        found = [self.rows.devices[identifier] for identifier in identifiers if identifier in self.rows.devices]
        return [replace(device, passes=frozenset()) for device in found]

    def delete_if_empty(self, identifier: DeviceLibraryIdentifier) -> None:
        row = self.rows.devices.get(identifier)
        if row is not None and not row.passes:
            del self.rows.devices[identifier]

    def mark_rejected(self, device: Device, *, at: float) -> None:
        row = self.rows.devices.get(device.identifier)
        if row is not None and row.push_token == device.push_token and row.rejected_at is None:
            self.rows.devices[device.identifier] = replace(row, rejected_at=int(at))

    def clear_rejected(self, device: Device) -> None:
        row = self.rows.devices.get(device.identifier)
        if row is not None and row.push_token == device.push_token:
            self.rows.devices[device.identifier] = replace(row, rejected_at=None)

    def remove(self, device: Device) -> bool:
        row = self.rows.devices.get(device.identifier)
        if row is None or (row.push_token, row.updated_at) != (device.push_token, device.updated_at):
            return False
        batch = sorted(device.passes)[:REMOVED_PASSES_PER_REQUEST]
        for pass_id in batch:
            self.rows.registrations.get(pass_id, {}).pop(device.identifier, None)
        if len(batch) == len(device.passes):
            del self.rows.devices[device.identifier]
        else:
            self.rows.devices[device.identifier] = replace(row, passes=row.passes - set(batch))
        return True


@dataclass
class MemoryTimelines:
    rows: Memory

    def take_now(self, costs: Mapping[str, int], *, now: int) -> bool:
        if any(self.rows.timelines.get(timeline, now - 1) >= now for timeline in costs):
            return False
        self.rows.timelines.update({timeline: now + cost for timeline, cost in costs.items()})
        return True

    def take_next(self, timeline: str, *, cost: int, free_by: int | None = None) -> int | None:
        free_at = self.rows.timelines.get(timeline)
        if free_at is None or (free_by is not None and free_at > free_by):
            return None
        self.rows.timelines[timeline] = free_at + cost
        return free_at + cost

    def add_fan_out(self, pass_id: PassId) -> None:
        self.rows.waiting_fan_outs.add(pass_id)

    def remove_fan_out(self, pass_id: PassId) -> None:
        self.rows.waiting_fan_outs.discard(pass_id)

    def stops(self) -> dict[str, StoppedPushes]:
        return dict(self.rows.stops)
