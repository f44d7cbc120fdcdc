"""Push to devices, and act on what APNs says of each: a device that is gone is forgotten, what is unsettled is named.

A push says only "something of this pass type changed", so a device gets one for each pass type, however many of its
passes changed.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.apns.client import Client, Outcome, Push
from chalicelib.apns.reasons import OutcomeKind, is_unknown_refusal, metric_reason
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import DEVICES_PER_REQUEST, Device
from chalicelib.core.errors import ConfigurationError, TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PushToken
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit
from chalicelib.updates.push_tasks import NotifyDevices
from chalicelib.updates.removals import (
    NOTE_DELIVERY_SECONDS,
    REJECTED_RETRY_SECONDS,
    HeldDevice,
    HeldRemovals,
    SendEvidence,
    Verdict,
    judge_rejected,
    judge_unregistered,
)

MAX_REMOVAL_ATTEMPTS = 20
"""How often a device that is gone is looked at again, while it changes or holds more passes than one request takes."""
MAX_LOGGED_DELIVERIES = 20
"""Deliveries of a larger wake are counted, not logged one by one: a line costs a third of what a push does."""
BAD_REQUEST_STATUS = 400
"""Of BadDeviceToken, which every token gets in the wrong environment; every other answer that removes has 410."""
MANY_REFUSED_ALIKE = 3
"""So many devices, all refused with one reason that is not known, and the reason concerns the sender."""
SETTLE_SECONDS = 1.0
"""How long after the deadline devices are still removed and marked; what is left by then is pushed to again."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """How waking some devices ended.

    Args:
        unsettled: the devices that must still be told, by another attempt.
        misconfigured: whether that attempt is in vain until a person acts: a credential or topic is wrong.
        waits: seconds that APNs asked to wait (`Retry-After`) before some of them are pushed to again.
        rejected: devices beside those, whose push token APNs refuses and which are pushed to again much later
            (`domain/removals.py`).
    """

    unsettled: frozenset[DeviceLibraryIdentifier]
    misconfigured: bool = False
    waits: Mapping[DeviceLibraryIdentifier, int] = field(default_factory=dict)
    rejected: frozenset[DeviceLibraryIdentifier] = frozenset()


def put_off(task: NotifyDevices, result: SendResult, *, seconds: int, now: float) -> list[tuple[NotifyDevices, int]]:
    """What is left of an order after an attempt: orders, each with the seconds that it is to be delayed by.

    Args:
        task: as it was attempted.
        result: how that ended.
        seconds: how long devices wait of which nothing else is known.
        now: epoch seconds.
    """
    left = [device for device in task.devices if device in result.unsettled]
    asked_to_wait = tuple(device for device in left if device in result.waits)
    others = tuple(device for device in left if device not in result.waits)
    rejected = tuple(device for device in task.devices if device in result.rejected)
    pieces: list[tuple[NotifyDevices, int]] = []
    if others:
        pieces.append((replace(task, devices=others), seconds))
    if asked_to_wait:
        longest = max(result.waits[device] for device in asked_to_wait)
        pieces.append((replace(task, devices=asked_to_wait), max(seconds, longest)))
    if rejected:
        pieces.append(
            (replace(task, devices=rejected, not_before=now + REJECTED_RETRY_SECONDS), REJECTED_RETRY_SECONDS)
        )
    return pieces


def _hold_nothing(_: Sequence[HeldRemovals]) -> None:
    raise TransientError("removals cannot be held here")


@dataclass(slots=True)
class _Send:
    """How the pushes of one send ended.

    Args:
        ended: how many, by kind and by reason as metrics have it.
        answers: how many, by status and reason.
        gone: those whose devices may be gone, with their devices.
        reached: devices that were marked as refused and have been reached.
        unsettled: devices that must still be told.
        waits: those of them that APNs asked to let wait, with the seconds.
    """

    ended: Counter[tuple[OutcomeKind, str]] = field(default_factory=Counter)
    answers: Counter[tuple[int | None, str | None]] = field(default_factory=Counter)
    gone: list[tuple[Outcome, list[Device]]] = field(default_factory=list)
    reached: list[Device] = field(default_factory=list)
    unsettled: set[DeviceLibraryIdentifier] = field(default_factory=set)
    waits: dict[DeviceLibraryIdentifier, int] = field(default_factory=dict)

    def add(self, outcome: Outcome, devices: list[Device], unsettled: list[DeviceLibraryIdentifier]) -> None:
        self.ended[outcome.kind, metric_reason(outcome.reason)] += 1
        self.answers[outcome.status, outcome.reason] += 1
        self.unsettled.update(unsettled)
        if outcome.kind is OutcomeKind.GONE:
            self.gone.append((outcome, devices))
        elif outcome.kind is OutcomeKind.DELIVERED:
            self.reached.extend(device for device in devices if device.rejected_at is not None)
        elif outcome.retry_after is not None:
            self.waits.update(dict.fromkeys(unsettled, outcome.retry_after))

    @property
    def delivered(self) -> int:
        return sum(count for (kind, _), count in self.ended.items() if kind is OutcomeKind.DELIVERED)

    def counts(self) -> Counter[tuple[OutcomeKind, str]]:
        """How many ended how. One unknown refusal of the whole send counts as a wrong credential or topic."""
        if len(self.answers) == 1:
            (((status, reason), count),) = self.answers.items()
            if count >= MANY_REFUSED_ALIKE and is_unknown_refusal(status, reason):
                return Counter({(OutcomeKind.CONFIGURATION, metric_reason(reason)): count})
        return self.ended


@dataclass(frozen=True, slots=True)
class PushSender:
    """What pushes.

    Args:
        store: where devices' push tokens are.
        metrics: pushes by outcome and reason, new connections, and the time from a change to its last push here.
        client_for: the APNs client of a pass type; raises ConfigurationError or TransientError where it has none.
        clock: epoch seconds.
        hold: keeps removals for an operator; raises TransientError where it cannot.
        noted: when a client's delivery was last noted, in epoch seconds by its identity; for the life of the sandbox.
    """

    store: Store
    metrics: Metrics
    client_for: Callable[[str], Client]
    clock: Callable[[], float]
    hold: Callable[[Sequence[HeldRemovals]], None] = _hold_nothing
    noted: dict[str, float] = field(default_factory=dict)

    def send(
        self,
        pass_type_identifier: str,
        devices: Collection[DeviceLibraryIdentifier],
        *,
        changed_at: float,
        deadline: float,
        changes: str = "",
    ) -> SendResult:
        """Push once to each of these devices, and remove those that are gone, as far as `domain/removals.py` allows.

        Args:
            pass_type_identifier: the topic.
            devices: whom to tell; those that unregistered in the meantime are passed over.
            changed_at: epoch seconds of the change that they are told of.
            deadline: monotonic seconds by which pushing must end.
            changes: what they are told of, by the ids that orders carry, with spaces between; empty for the changes of
                this invocation.

        Raises:
            StoreError: the push tokens could not be read; nobody was pushed to.
        """
        named = {"changes": changes} if changes else {}
        by_token = self._reach(devices)
        if not by_token:
            return SendResult(frozenset())
        try:
            client = self.client_for(pass_type_identifier)
        except (ConfigurationError, TransientError) as error:
            log.event(
                "push_impossible",
                pass_type_identifier=pass_type_identifier,
                devices=len(devices),
                error=str(error),
                **named,
            )
            reason = "NoCredential" if isinstance(error, ConfigurationError) else "NoSecret"
            kind = OutcomeKind.CONFIGURATION if isinstance(error, ConfigurationError) else OutcomeKind.LATER
            self.metrics.count("Pushes", len(by_token), outcome=kind.value, reason=reason)
            self.metrics.put({"DeferredPercent": 100}, Unit.PERCENT)
            self._measure_put_off(changed_at)
            everyone = frozenset(device.identifier for found in by_token.values() for device in found)
            return SendResult(everyone, misconfigured=isinstance(error, ConfigurationError))
        pushes = [Push(token, pass_type_identifier) for token in by_token]
        send = _Send()
        connections = client.connections
        for outcome in client.push(pushes, deadline=deadline):
            found = by_token[outcome.push.push_token]
            if outcome.kind is not OutcomeKind.DELIVERED or len(by_token) <= MAX_LOGGED_DELIVERIES:
                _note(outcome, found, named)
            send.add(outcome, found, self._unsettled_by(outcome, found))
        ended = send.counts()
        rejected, held = self._judge_all(
            send, client, pass_type_identifier, changed_at=changed_at, until=deadline + SETTLE_SECONDS
        )
        unsettled = send.unsettled
        kinds: Counter[OutcomeKind] = Counter()
        for (kind, reason), count in ended.items():
            kinds[kind] += count
            self.metrics.count("Pushes", count, outcome=kind.value, reason=reason)
        if opened := client.connections - connections:
            self.metrics.count("ApnsConnections", opened)
        self.metrics.put({"DeferredPercent": 100 * len(unsettled | rejected) / len(devices)}, Unit.PERCENT)
        if unsettled:
            self._measure_put_off(changed_at)
        if kinds[OutcomeKind.DELIVERED]:
            self.metrics.put({"PushLatency": (self.clock() - changed_at) * 1000}, Unit.MILLISECONDS)
        log.event(
            "pushes_sent",
            pass_type_identifier=pass_type_identifier,
            devices=len(devices),
            unsettled=len(unsettled),
            rejected=len(rejected),
            held=held,
            outcomes={kind.value: count for kind, count in kinds.items()},
            **named,
        )
        misconfigured = kinds[OutcomeKind.CONFIGURATION] > 0 and kinds[OutcomeKind.DELIVERED] == 0
        return SendResult(
            frozenset(unsettled),
            misconfigured=misconfigured,
            waits=send.waits,
            rejected=frozenset(rejected),
        )

    def _measure_put_off(self, changed_at: float) -> None:
        """Writes how long ago the change was whose pushes are put off once more.

        SQS's own `ApproximateAgeOfOldestMessage` leaves out messages that were received three times or more.
        """
        self.metrics.put({"DeferredAge": (self.clock() - changed_at) * 1000}, Unit.MILLISECONDS)

    def _reach(self, devices: Collection[DeviceLibraryIdentifier]) -> dict[PushToken, list[Device]]:
        """The devices by push token. Two rows with one token are one phone, restored from a backup: one push."""
        by_token: dict[PushToken, list[Device]] = defaultdict(list)
        for chunk in _chunks(sorted(devices), DEVICES_PER_REQUEST):
            for device in self.store.devices.with_push_tokens(chunk):
                by_token[device.push_token].append(device)
        return by_token

    def _unsettled_by(self, outcome: Outcome, devices: list[Device]) -> list[DeviceLibraryIdentifier]:
        """The devices of one push that must still be told after it; those that may be gone are judged at the end."""
        if outcome.kind in (OutcomeKind.DELIVERED, OutcomeKind.GONE):
            return []
        return [device.identifier for device in devices]

    def _judge_all(
        self, send: "_Send", client: Client, pass_type_identifier: str, *, changed_at: float, until: float
    ) -> tuple[set[DeviceLibraryIdentifier], int]:
        """Act on what a send shows of its devices: remove, mark or hold those that may be gone, unmark those reached.

        Args:
            send: how all pushes ended; devices that must be pushed to again are added to its `unsettled`.
            client: what pushed.
            pass_type_identifier: the topic.
            changed_at: epoch seconds of the change.
            until: monotonic seconds after which nothing more is written; devices that are left are pushed to again.

        Returns:
            The devices that are pushed to again much later, and how many are held.
        """
        self._note_delivery(client, send)
        send.unsettled.update(device.identifier for device in send.reached if not self._unmarked(device, until=until))
        try:
            evidence = self._evidence(client, send)
        except TransientError as error:
            log.event("last_delivery_failed", error=str(error))
            send.unsettled.update(device.identifier for _, devices in send.gone for device in devices)
            return set(), 0
        rejected: set[DeviceLibraryIdentifier] = set()
        held: dict[str, list[HeldDevice]] = defaultdict(list)
        for outcome, devices in send.gone:
            for device in devices:
                match _judge(outcome, device, evidence):
                    case Verdict.HOLD:
                        reason = f"{outcome.status} {outcome.reason}"
                        held[reason].append(HeldDevice(device.identifier, device.updated_at))
                    case Verdict.WAIT:
                        self._mark(device, until=until)
                        rejected.add(device.identifier)
                    case Verdict.REMOVE if time.monotonic() >= until or not self._left(device, outcome):
                        send.unsettled.add(device.identifier)
        for reason, devices_held in held.items():
            removals = HeldRemovals(pass_type_identifier, reason, tuple(devices_held), changed_at)
            if not self._held(removals):
                send.unsettled.update(device.identifier for device in devices_held)
        return rejected, sum(len(devices_held) for devices_held in held.values())

    def _note_delivery(self, client: Client, send: "_Send") -> None:
        """Note now and then that this client delivers. Without the note, a removal may have to wait or be held."""
        now = self.clock()
        if not send.delivered or now - self.noted.get(client.identity, -math.inf) < NOTE_DELIVERY_SECONDS:
            return
        try:
            self.store.versions.note_delivery(client.identity, at=now)
        except TransientError as error:
            log.event("note_delivery_failed", error=str(error))
        else:
            self.noted[client.identity] = now

    def _evidence(self, client: Client, send: "_Send") -> SendEvidence:
        """What the send shows; the last delivery is read only where a token was refused and nothing was delivered."""
        rejected = sum(outcome.status == BAD_REQUEST_STATUS for outcome, _ in send.gone)
        last_delivery: float | None = None
        if rejected and not send.delivered:
            last_delivery = self.store.versions.last_delivery(client.identity)
        return SendEvidence(
            answered=sum(count for (status, _), count in send.answers.items() if status is not None),
            delivered=send.delivered,
            unregistered=len(send.gone) - rejected,
            rejected=rejected,
            now=self.clock(),
            last_delivery=last_delivery,
        )

    def _unmarked(self, device: Device, *, until: float) -> bool:
        """Take the mark away from a device that was reached; whether that is done.

        One that kept its mark could be removed soon after it was reached.
        """
        if time.monotonic() >= until:
            return False
        try:
            self.store.devices.clear_rejected(device)
        except TransientError as error:
            log.event("clear_rejected_failed", device=device.identifier, error=str(error))
            return False
        return True

    def _mark(self, device: Device, *, until: float) -> None:
        """Mark a device that is refused for the first time. One that is not marked now is at its next refusal."""
        if device.rejected_at is not None or time.monotonic() >= until:
            return
        try:
            self.store.devices.mark_rejected(device, at=self.clock())
        except TransientError as error:
            log.event("mark_rejected_failed", device=device.identifier, error=str(error))

    def _held(self, removals: HeldRemovals) -> bool:
        """Keep removals for an operator; whether they are kept."""
        try:
            self.hold([removals])
        except TransientError as error:
            log.event("hold_failed", pass_type_identifier=removals.pass_type_identifier, error=str(error))
            return False
        self.metrics.count("RemovalsHeld", len(removals.devices), reason=removals.reason.partition(" ")[2])
        log.event(
            "removals_held",
            pass_type_identifier=removals.pass_type_identifier,
            reason=removals.reason,
            devices=len(removals.devices),
        )
        return True

    def _left(self, device: Device, outcome: Outcome) -> bool:
        """Forget a device that was gone at the time that APNs names, or else as it was when it was pushed to."""
        gone_at = outcome.timestamp if outcome.timestamp is not None else device.updated_at
        try:
            return remove_device(self.store, device, gone_at=gone_at)
        except TransientError as error:
            log.event("device_removal_failed", device=device.identifier, error=str(error))
            return False


def _judge(outcome: Outcome, device: Device, evidence: SendEvidence) -> Verdict:
    if outcome.status == BAD_REQUEST_STATUS:
        return judge_rejected(evidence, rejected_at=device.rejected_at)
    return judge_unregistered(evidence)


def remove_device(store: Store, device: Device, *, gone_at: int) -> bool:
    """Remove a device's rows, unless it has another push token by now or registered after `gone_at`.

    Args:
        device: as it was read when it was pushed to.
        gone_at: epoch milliseconds (Apple, "Handling notification responses from APNs": `timestamp`).

    Returns:
        False where the device registered the same push token after `gone_at`: it is there and was not told.

    Raises:
        TransientError: DynamoDB did not carry it out, or the row kept changing.
    """
    for _ in range(MAX_REMOVAL_ATTEMPTS):
        row = store.devices.get(device.identifier)
        if row is None or row.push_token != device.push_token:
            return True  # with a new token it registered anew, and that call looked for changes itself
        if row.updated_at > gone_at:
            return False
        if store.devices.remove(row):
            log.event(
                "device_removed", device=device.identifier, passes=log.first_ids(row.passes), held=len(row.passes)
            )
    raise TransientError("a device that is gone could not be removed: its row kept changing")


def _note(outcome: Outcome, devices: list[Device], named: Mapping[str, str]) -> None:
    for device in devices:
        log.event(
            "pushed",
            device=device.identifier,
            pass_type_identifier=outcome.push.topic,
            outcome=outcome.kind.value,
            status=outcome.status,
            reason=outcome.reason,
            apns_id=outcome.apns_id,
            **named,
        )


def _chunks(devices: list[DeviceLibraryIdentifier], size: int) -> Iterator[list[DeviceLibraryIdentifier]]:
    for start in range(0, len(devices), size):
        yield devices[start : start + size]
