"""A device requests the passes that changed since its last tag: device -> API -> serial numbers and a new tag."""

from dataclasses import dataclass, field

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import HELD_PASSES_PER_REQUEST
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.telemetry import log
from chalicelib.updates.protocol import Tag


@dataclass(frozen=True, slots=True)
class Listing:
    """Answer to a device.

    Args:
        serial_numbers: passes to download.
        last_updated: tag that the device sends with its next request.
    """

    serial_numbers: tuple[str, ...]
    last_updated: Tag


@dataclass(frozen=True, slots=True)
class Lister:
    """Lists changed passes.

    Args:
        store: the tables.
        window_seconds: W of the update protocol: how far a tag stays behind the clock.
        recent: versions of widely held passes that this execution environment has just read.
    """

    store: Store
    window_seconds: int
    recent: RecentVersions = field(default_factory=RecentVersions)

    def list_changed(
        self, *, device: DeviceLibraryIdentifier | None, pass_type_identifier: str, tag: Tag | None, now: float
    ) -> Listing | None:
        """List the device's passes of one type that changed since the tag, or all of them without a tag.

        A pass whose change is known from a recent version is listed without reading its rows (`updates/recent.py`).
        An unknown device costs one read, an invalid device library identifier (`device` is None) costs no read.

        Args:
            device: that sent the request; None if its identifier is invalid.
            pass_type_identifier: type of the passes.
            tag: of the device's previous call; None without one. A tag that this service cannot have issued is
                ignored.
            now: epoch seconds, taken before this call and so before every read: a pass that is stamped during the call
                is still ahead of the new tag.

        Returns:
            The listing; None if no pass changed.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        if device is None:
            return None
        if tag is not None and not tag.can_be_issued(now, window_seconds=self.window_seconds):
            tag = None
        row = self.store.devices.get(device)
        held = sorted(p for p in row.passes if p.pass_type_identifier == pass_type_identifier) if row else []
        kept = {p: recent for p in held if (recent := self.recent.get(p)) is not None and recent.is_after(tag)}
        as_of = min((recent.as_of for recent in kept.values()), default=now)
        named: list[PassId] = list(kept)
        unknown = [p for p in held if p not in kept]
        for start in range(0, len(unknown), HELD_PASSES_PER_REQUEST):
            read_at = self.recent.now()
            states = self.store.devices.held_passes(device, unknown[start : start + HELD_PASSES_PER_REQUEST])
            for pass_id, state in states.items():
                self.recent.keep(pass_id, state.version, read_at=read_at)
            named.extend(pass_id for pass_id, state in states.items() if state.is_changed_since(tag))
        counts = {"held": len(held), "named": len(named)}
        log.event(
            "listed", device=device, pass_type_identifier=pass_type_identifier, **counts, passes=log.first_ids(named)
        )
        if not named:
            return None
        serial_numbers = tuple(p.serial_number for p in sorted(named))
        return Listing(serial_numbers, Tag.at(min(now, as_of), window_seconds=self.window_seconds))
