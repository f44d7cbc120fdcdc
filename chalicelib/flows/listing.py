"""A device asks which of its passes changed since its last tag: device -> API -> serial numbers and a new tag."""

from dataclasses import dataclass

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import HELD_PASSES_PER_REQUEST
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.telemetry import log
from chalicelib.updates.protocol import Tag


@dataclass(frozen=True, slots=True)
class Listing:
    """What to tell the device: the serial numbers to fetch, and the tag to come back with."""

    serial_numbers: tuple[str, ...]
    last_updated: Tag


@dataclass(frozen=True, slots=True)
class Lister:
    """What answers a device's question.

    Args:
        window_seconds: W of the update protocol: how far a tag stays behind the clock.
    """

    store: Store
    window_seconds: int

    def list_changed(
        self, *, device: DeviceLibraryIdentifier | None, pass_type_identifier: str, tag: Tag | None, now: float
    ) -> Listing | None:
        """Name the device's passes of one type that changed since the tag, all of them without one; None for nothing.

        An unknown device costs one read, and a name that no device can have (`device` is None) none.

        Args:
            device: who asks.
            pass_type_identifier: of which type.
            tag: what the device sent back from its last call, None without one. One that this service cannot have
                handed out counts as none.
            now: epoch seconds, read before this call: it stands before every read here, so that what is stamped
                during the call is still ahead of the tag.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        if device is None:
            return None
        if tag is not None and not tag.can_be_ours(now, window_seconds=self.window_seconds):
            tag = None
        row = self.store.devices.get(device)
        held = sorted(p for p in row.passes if p.pass_type_identifier == pass_type_identifier) if row else []
        named: list[PassId] = []
        for start in range(0, len(held), HELD_PASSES_PER_REQUEST):
            states = self.store.devices.held_passes(device, held[start : start + HELD_PASSES_PER_REQUEST])
            named.extend(pass_id for pass_id, state in states.items() if state.is_changed_since(tag))
        counts = {"held": len(held), "named": len(named)}
        log.event(
            "listed", device=device, pass_type_identifier=pass_type_identifier, **counts, passes=log.first_ids(named)
        )
        if not named:
            return None
        return Listing(tuple(p.serial_number for p in named), Tag.at(now, window_seconds=self.window_seconds))
