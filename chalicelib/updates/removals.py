"""Which answers of APNs remove a device, and which are held for an operator: the rules, without I/O.

Theory of operation
-------------------
A device that is removed by mistake is never told of a change again: phones do not register again by themselves. So an
answer that removes a device is believed of single devices, and never of all at once.

*410 (Unregistered, ExpiredToken)* says that this token was valid and is no longer. It is believed at once, unless more
than `FEW_DEVICES` and more than `SMALL_SHARE` of the devices of one send get it: then APNs has a problem, and all of
them are held. The pieces of one fan-out are pushed to separately. Since each holds hundreds of devices, each shows the
share of the whole, and is judged alike.

*400 (BadDeviceToken)* is also what every valid token gets when the push host or the credential belongs to the other
environment (sandbox or production), and most passes have one holder, so that each send has one device and a share
proves nothing. It removes a device only if
1. the device was first refused at least `PATIENCE_SECONDS` ago and was not reached since. The first refusal marks the
   device row (`rejected_at`), and a delivery clears the mark; so does a registration. So nothing is written per push,
   and a device that a push reached within the last day is never removed.
2. the same client, that is this credential on this host, delivered a push to any device after that first refusal. That
   proves that host and credential are right while this token is refused. The last delivery of a client is noted once
   in `NOTE_DELIVERY_SECONDS` per execution environment.
Until then the device is pushed to again every `REJECTED_RETRY_SECONDS`. If a day has passed and nothing was delivered
by the same client since, the removal is held. It is held at once where a large share of a send is refused and the
client has not delivered anything for `RECENT_SECONDS`: nothing shows that it can deliver.

So a stage that pushes to the wrong environment removes nothing, whether its passes have one holder or a million. And
hundreds of invented devices that one attacker registers for one pass go away by themselves after a day, since pushes to
other devices are delivered meanwhile.

*Held* removals keep the devices and their pushes in a queue of their own, which is empty as long as all is well and
raises an alarm when it is not. `accept` removes those devices that are still as they were, `discard` pushes to them
again.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier

FEW_DEVICES = 5
"""So many of a send may go at once, whatever their share."""
SMALL_SHARE = 0.2
PATIENCE_SECONDS = 24 * 3600 + 600
"""How long a device must have been refused with 400 before it is removed: a day, and longer than two sends may overlap
of which one reaches the device that the other marks."""
RECENT_SECONDS = 2 * 24 * 3600
"""How recent a client's last delivery must be to show that it could deliver, also where a stage pushes once a day. A
host or credential that is changed is another client, which has none."""
NOTE_DELIVERY_SECONDS = 1200
"""How often an execution environment notes that a client delivers; well below `RECENT_SECONDS`."""
REJECTED_RETRY_SECONDS = 3 * 3600
"""How long a device that was refused with 400 waits for the next push."""
MAX_DEVICES_PER_MESSAGE = 500
"""With identifiers of the longest length (256) and their times, under SQS's 256 KiB."""


class Verdict(Enum):
    """What is done about a device after an answer that may remove it."""

    REMOVE = auto()
    """It is gone: remove its rows."""
    WAIT = auto()
    """Mark it, and push to it again later."""
    HOLD = auto()
    """Keep it and its push for an operator."""


@dataclass(frozen=True, slots=True)
class SendEvidence:
    """What one send shows as a whole. All counts are of push tokens that APNs answered for.

    Args:
        answered: all of them.
        delivered: with 200.
        unregistered: with 410 Unregistered or ExpiredToken.
        rejected: with 400 BadDeviceToken.
        now: epoch seconds of the send.
        last_delivery: epoch seconds of the last delivery that is noted of the same client; None for none.
    """

    answered: int
    delivered: int
    unregistered: int
    rejected: int
    now: float
    last_delivery: float | None = None

    @property
    def proven_at(self) -> float | None:
        """When the client last delivered, this send included; None for never."""
        return self.now if self.delivered else self.last_delivery

    def is_mass(self, count: int) -> bool:
        """Whether so many of the answers are more than a few and more than a small share."""
        return count > FEW_DEVICES and count > SMALL_SHARE * self.answered


def judge_unregistered(evidence: SendEvidence) -> Verdict:
    """What a 410 means for its device."""
    return Verdict.HOLD if evidence.is_mass(evidence.unregistered) else Verdict.REMOVE


def judge_rejected(evidence: SendEvidence, *, rejected_at: int | None) -> Verdict:
    """What a 400 BadDeviceToken means for its device.

    Args:
        evidence: of the send.
        rejected_at: epoch seconds of the first refusal since the device was last reached; None if this is the first.
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
        identifier: which device.
        updated_at: epoch milliseconds of its last registration when it was pushed to: a newer one shows that it is
            there.
    """

    identifier: DeviceLibraryIdentifier
    updated_at: int


@dataclass(frozen=True, slots=True)
class HeldRemovals:
    """Removals of one send that an operator decides on. They hold no push token.

    Args:
        pass_type_identifier: the topic that was pushed to.
        reason: APNs' status and reason, such as `400 BadDeviceToken`.
        devices: whose removal is held, and whose push is kept with it.
        changed_at: epoch seconds of the change that they were not told of.
    """

    pass_type_identifier: str
    reason: str
    devices: tuple[HeldDevice, ...]
    changed_at: float

    def encode(self) -> str:
        """As one line of JSON."""
        devices = [[device.identifier.value, device.updated_at] for device in self.devices]
        body = {"held": self.pass_type_identifier, "reason": self.reason, "devices": devices}
        return json.dumps({**body, "changed_at": self.changed_at}, separators=(",", ":"))

    def in_chunks(self) -> "list[HeldRemovals]":
        """The same removals in pieces that one message can carry."""
        return [
            replace(self, devices=self.devices[start : start + MAX_DEVICES_PER_MESSAGE])
            for start in range(0, len(self.devices), MAX_DEVICES_PER_MESSAGE)
        ]


def read_held(text: str) -> HeldRemovals:
    """Read what `HeldRemovals.encode` wrote.

    Raises:
        RefusedError: it is something else. The message does not repeat the text, which may name devices.
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
