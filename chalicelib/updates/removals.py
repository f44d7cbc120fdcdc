"""Rules for removing devices: which responses of APNs remove a device, and which removals an operator decides on.

Theory of operation
-------------------
A device that is removed by mistake is never notified again, because phones do not register again by themselves. So a
response that removes a device is trusted for single devices, and never for all devices at once.

*410 (Unregistered, ExpiredToken)* means that the token was valid and no longer is. It is trusted at once, unless more
than `FEW_DEVICES` and more than `SMALL_SHARE` of the devices of one send get it: then APNs probably has a problem, and
all of these removals are held. The parts of a fan-out are sent separately. Each has hundreds of devices, so its share
is close to the share of the whole, and the same rule applies to it.

*400 (BadDeviceToken)* is also the response for every valid token if the push host or the credential belongs to the
other environment of APNs (development or production). Most passes are on one device, so most sends have one device, and
a share shows nothing. The response removes a device only if
1. the device was first rejected at least `PATIENCE_SECONDS` ago, and no push was delivered to it since. The first
   rejection marks the device row (`rejected_at`); a delivery or a registration clears the mark. So nothing is written
   per push, and a device to which a push was delivered within the last day is never removed.
2. the same client, which is this credential on this host, delivered a push to any device after that first rejection.
   This shows that host and credential are right while the token is rejected. The last delivery of a client is recorded
   once per `NOTE_DELIVERY_SECONDS` and execution environment.
Until then the push is repeated every `REJECTED_RETRY_SECONDS`. If a day has passed and the same client has delivered
nothing since, the removal is held. It is held at once if a large share of a send is rejected and the client has
delivered nothing for `RECENT_SECONDS`, because nothing shows that it can deliver.

So a stage that pushes to the wrong environment removes no device, whether its passes are on one device or on a million.
And if an attacker registers hundreds of invented devices for one pass, they are removed automatically after a day,
since pushes to other devices are delivered meanwhile.

*Held* removals are kept, with the devices and their pushes, in a separate queue. It is normally empty, and raises an
alarm when it is not. `accept` removes those devices that have not registered since; `discard` pushes to all of them
again.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier

FEW_DEVICES = 5
"""Devices of one send that may be removed at once, regardless of their share."""
SMALL_SHARE = 0.2
PATIENCE_SECONDS = 24 * 3600 + 600
"""Time since a device's first rejection with 400 after which it may be removed: a day, and longer than two sends may
overlap of which one delivers to the device that the other marks."""
RECENT_SECONDS = 2 * 24 * 3600
"""Age up to which a client's last delivery shows that the client can deliver: long enough for a stage that pushes once
per day. After a change of the host or the credential, the client is another, without a delivery."""
NOTE_DELIVERY_SECONDS = 1200
"""Interval at which an execution environment records a delivery of a client; far below `RECENT_SECONDS`."""
REJECTED_RETRY_SECONDS = 3 * 3600
"""Delay of the next push to a device that was rejected with 400."""
MAX_DEVICES_PER_MESSAGE = 500
"""As many devices, with identifiers of the maximum length (256) and their times, stay below SQS's 256 KiB."""


class Verdict(Enum):
    """Decision about a device after a response that may remove it."""

    REMOVE = auto()
    """Remove the rows of the device."""
    WAIT = auto()
    """Mark the device as rejected, and push to it again later."""
    HOLD = auto()
    """Keep the device and its push for an operator's decision."""


@dataclass(frozen=True, slots=True)
class SendEvidence:
    """Responses of APNs to one send as a whole: counts of push tokens.

    Args:
        answered: tokens with any response.
        delivered: tokens with 200.
        unregistered: tokens with 410 Unregistered or ExpiredToken.
        rejected: tokens with 400 BadDeviceToken.
        now: epoch seconds of the send.
        last_delivery: epoch seconds of the last recorded delivery of the same client; None if it has none.
    """

    answered: int
    delivered: int
    unregistered: int
    rejected: int
    now: float
    last_delivery: float | None = None

    @property
    def proven_at(self) -> float | None:
        """Epoch seconds of the client's last known delivery, including this send; None if it has none."""
        return self.now if self.delivered else self.last_delivery

    def is_mass(self, count: int) -> bool:
        """Tell whether this count of responses is both more than a few and more than a small share."""
        return count > FEW_DEVICES and count > SMALL_SHARE * self.answered


def judge_unregistered(evidence: SendEvidence) -> Verdict:
    """Decide about a device with 410 Unregistered or ExpiredToken."""
    return Verdict.HOLD if evidence.is_mass(evidence.unregistered) else Verdict.REMOVE


def judge_rejected(evidence: SendEvidence, *, rejected_at: int | None) -> Verdict:
    """Decide about a device with 400 BadDeviceToken.

    Args:
        evidence: the responses to the send.
        rejected_at: epoch seconds of the first rejection since the last delivery; None if this is the first one.
    """
    proven_at = evidence.proven_at
    is_recent = proven_at is not None and evidence.now - proven_at < RECENT_SECONDS
    if not is_recent and evidence.is_mass(evidence.rejected):
        return Verdict.HOLD
    if rejected_at is None or evidence.now - rejected_at < PATIENCE_SECONDS:
        return Verdict.WAIT
    return Verdict.REMOVE if proven_at is not None and proven_at > rejected_at else Verdict.HOLD


@dataclass(frozen=True, slots=True)
class HeldDevice:
    """A device whose removal is held.

    Args:
        identifier: the device.
        updated_at: epoch milliseconds of its last registration before the push; a later one shows that it is in use.
    """

    identifier: DeviceLibraryIdentifier
    updated_at: int


@dataclass(frozen=True, slots=True)
class HeldRemovals:
    """Removals of one send that an operator decides on. They contain no push tokens.

    Args:
        pass_type_identifier: topic of the push.
        reason: APNs' status and reason, such as `400 BadDeviceToken`.
        devices: the devices whose removals and pushes are held.
        changed_at: epoch seconds of the change of which they were not notified.
    """

    pass_type_identifier: str
    reason: str
    devices: tuple[HeldDevice, ...]
    changed_at: float

    def encode(self) -> str:
        """Return the removals as one line of JSON."""
        devices = [[device.identifier.value, device.updated_at] for device in self.devices]
        body = {"held": self.pass_type_identifier, "reason": self.reason, "devices": devices}
        return json.dumps({**body, "changed_at": self.changed_at}, separators=(",", ":"))

    def in_chunks(self) -> "list[HeldRemovals]":
        """Split the removals into parts that each fit a message."""
        return [
            replace(self, devices=self.devices[start : start + MAX_DEVICES_PER_MESSAGE])
            for start in range(0, len(self.devices), MAX_DEVICES_PER_MESSAGE)
        ]


def parse_held_removals(text: str) -> HeldRemovals:
    """Read a text that `HeldRemovals.encode` returned.

    Raises:
        RefusedError: it is another text. The message does not quote it, because it may contain device identifiers.
    """
    try:
        match json.loads(text):
            case {
                "held": str(pass_type_identifier),
                "reason": str(reason),
                "devices": list(devices),
                "changed_at": int() | float() as changed_at,
            }:
                held = tuple(HeldDevice(DeviceLibraryIdentifier(str(name)), int(at)) for name, at in devices)
                return HeldRemovals(pass_type_identifier, reason, held, changed_at)
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError("held removals: a message cannot be read; this service did not write it") from error
    raise RefusedError("held removals: a message is not one of this service's")
