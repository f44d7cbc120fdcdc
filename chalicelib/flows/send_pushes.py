"""Sends pushes and handles APNs' responses: removes unregistered devices and returns those to retry.

A push only says that something of a pass type changed, so a device gets one push per pass type, even if several of its
passes changed.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind, is_unknown_refusal, metric_reason
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import DEVICES_PER_REQUEST, Device
from chalicelib.core.errors import ConfigurationError, TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.flows.pace import Pacer
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit
from chalicelib.updates.pacing import LATENESS_SECONDS, Slot, Stop
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
"""Attempts to remove a device whose row keeps changing, or that holds more passes than one request can remove."""
MAX_LOGGED_DELIVERIES = 20
"""Deliveries of a larger send are counted, not logged one by one: a line takes a third of the time of a push."""
BAD_REQUEST_STATUS = 400
"""Status of BadDeviceToken, which every token gets in the wrong environment. Other responses that remove have 410."""
MANY_REFUSED_ALIKE = 3
"""If at least so many devices are all refused with the same unknown reason, the reason concerns the sender."""
NOTE_EVENT_SECONDS = 3600
"""Interval of the events about one problem of a pass type, such as a rejected credential: it concerns every push."""
SETTLE_SECONDS = 1.0
"""Time after the deadline in which devices are still removed and marked; the others are pushed to again."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Result of a send.

    Args:
        unsettled: devices that must be pushed to again.
        misconfigured: True if retries fail until a person acts, because a credential or topic is wrong.
        waits: seconds that APNs asked to wait (`Retry-After`), for some of the unsettled devices.
        rejected: other devices, whose push token APNs refuses; they are pushed to again much later
            (`updates/removals.py`).
        unpaced: True if nothing was sent, because the stage's rate is taken for longer than the lane's patience. All
            devices are unsettled and must be scheduled again; nothing has failed.
        kept: True if nothing was sent, because an operator has stopped the pushes and keeps them. All devices are
            unsettled and wait until they are resumed.
    """

    unsettled: frozenset[DeviceLibraryIdentifier]
    misconfigured: bool = False
    waits: Mapping[DeviceLibraryIdentifier, int] = field(default_factory=dict)
    rejected: frozenset[DeviceLibraryIdentifier] = frozenset()
    unpaced: bool = False
    kept: bool = False


def deferred_tasks(
    task: NotifyDevices, result: SendResult, *, seconds: int, now: float
) -> list[tuple[NotifyDevices, int]]:
    """Make the push tasks for the rest of a push task after an attempt.

    Args:
        task: as attempted.
        result: of the attempt.
        seconds: delay of devices without a known delay of their own.
        now: epoch seconds.

    Returns:
        Push tasks with their delay in seconds.
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
    raise TransientError("removals cannot be held: this function has no queue for them")


@dataclass(slots=True)
class _Send:
    """Outcomes of one send.

    Args:
        ended: number of pushes by kind and by reason (as in metrics).
        answers: number of pushes by status and reason.
        gone: outcomes that say that a device may be unregistered, with the devices.
        reached: devices that were marked as refused and got a push now.
        unsettled: devices that must be pushed to again.
        waits: seconds that APNs asked to wait, for some of the unsettled devices.
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
        if outcome.kind is OutcomeKind.UNREGISTERED:
            self.gone.append((outcome, devices))
        elif outcome.kind is OutcomeKind.DELIVERED:
            self.reached.extend(device for device in devices if device.rejected_at is not None)
        elif outcome.retry_after is not None:
            self.waits.update(dict.fromkeys(unsettled, outcome.retry_after))

    @property
    def delivered(self) -> int:
        return sum(count for (kind, _), count in self.ended.items() if kind is OutcomeKind.DELIVERED)

    def counts(self) -> Counter[tuple[OutcomeKind, str]]:
        """Count outcomes. If the whole send got one unknown refusal, it counts as a wrong credential or topic."""
        if len(self.answers) == 1:
            (((status, reason), count),) = self.answers.items()
            if count >= MANY_REFUSED_ALIKE and is_unknown_refusal(status, reason):
                return Counter({(OutcomeKind.CONFIGURATION, metric_reason(reason)): count})
        return self.ended


@dataclass(frozen=True, slots=True)
class PushSender:
    """Sends pushes to devices.

    Args:
        store: the tables, with the devices' push tokens.
        pacer: limits the devices per second. This is the only place that pushes, so nothing passes it by.
        metrics: count pushes by outcome and reason, new connections, and the time from a change to its last push.
        client_for: returns the APNs client of a pass type; raises ConfigurationError or TransientError if it cannot.
        clock: epoch seconds.
        hold: holds removals for an operator; raises TransientError if it cannot.
        noted: epoch seconds of the last recorded delivery by identity of the client.
    """

    store: Store
    pacer: Pacer
    metrics: Metrics
    client_for: Callable[[str], Client]
    clock: Callable[[], float]
    hold: Callable[[Sequence[HeldRemovals]], None] = _hold_nothing
    noted: dict[str, float] = field(default_factory=dict)

    def send(self, task: NotifyDevices, *, deadline: float, slot: Slot | None = None) -> SendResult:
        """Push once to each device of a due push task as soon as the stage's rate allows it, and remove unregistered
        devices if `updates/removals.py` allows it.

        Args:
            task: devices that unregistered in the meantime are skipped.
            deadline: monotonic seconds by which pushing must end.
            slot: time of the stage that the caller has taken for it; None to take it here.

        Raises:
            StoreError: the push tokens could not be read, or no time could be taken; no push was sent.
        """
        named = {"changes": task.change} if task.change not in ("", log.request_id()) else {}
        return self._stopped(task, named) or self._send(task, named, deadline=deadline, slot=slot)

    def _send(self, task: NotifyDevices, named: Mapping[str, str], *, deadline: float, slot: Slot | None) -> SendResult:
        pass_type_identifier, devices, changed_at = task.pass_type_identifier, task.devices, task.changed_at
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
            self._measure_deferred_tasks(task.due_at)
            self._note_rejected(pass_type_identifier, {(kind, reason): len(by_token)})
            return SendResult(_identifiers(by_token), misconfigured=isinstance(error, ConfigurationError))
        slot = slot or self.pacer.admit(task.paced_lane, len(by_token), deadline=deadline)
        if slot is None:
            return SendResult(_identifiers(by_token), unpaced=True)
        pushes = [Push(token, pass_type_identifier) for token in by_token]
        send = _Send()
        connections = client.connections
        for outcome in client.push(pushes, deadline=deadline, pace=self._pace(slot)):
            devices_of_push = by_token[outcome.push.push_token]
            if outcome.kind is not OutcomeKind.DELIVERED or len(by_token) <= MAX_LOGGED_DELIVERIES:
                _log_outcome(outcome, devices_of_push, named)
            send.add(outcome, devices_of_push, self._unsettled_by(outcome, devices_of_push))
        ended = send.counts()
        rejected, held = self._handle_all(
            send, client, pass_type_identifier, changed_at=changed_at, until=deadline + SETTLE_SECONDS
        )
        unsettled = send.unsettled
        kinds: Counter[OutcomeKind] = Counter()
        for (kind, reason), count in ended.items():
            kinds[kind] += count
            self.metrics.count("Pushes", count, outcome=kind.value, reason=reason)
        self._note_rejected(pass_type_identifier, ended)
        if opened := client.connections - connections:
            self.metrics.count("ApnsConnections", opened)
        self.metrics.put({"DeferredPercent": 100 * len(unsettled | rejected) / len(devices)}, Unit.PERCENT)
        if unsettled:
            self._measure_deferred_tasks(task.due_at)
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

    def _stopped(self, task: NotifyDevices, named: Mapping[str, str]) -> SendResult | None:
        """Return the result of pushes that an operator has stopped; None to send them."""
        match self.pacer.stop_of(task.pass_type_identifier, changed_at=task.changed_at):
            case Stop.DROP:
                counted = {"pass_type_identifier": task.pass_type_identifier, "devices": len(task.devices)}
                log.event("pushes_dropped", **counted, **named)
                return SendResult(frozenset())
            case Stop.KEEP:
                return SendResult(frozenset(task.devices), kept=True)
        return None

    def _pace(self, slot: Slot) -> Pace:
        """Spread the pushes over their slot. Those that could not start by its end, plus some lateness, start later."""
        left = slot.start + slot.seconds + LATENESS_SECONDS - self.clock()
        return Pace(spread_seconds=slot.seconds, start_until=time.monotonic() + left)

    def _measure_deferred_tasks(self, due_at: float) -> None:
        """Write for how long pushes that are deferred once more are late. Time in which they waited for their lane
        does not count: nothing failed then.

        SQS's own `ApproximateAgeOfOldestMessage` ignores messages that were received three times or more.
        """
        self.metrics.put({"DeferredAge": max(0.0, self.clock() - due_at) * 1000}, Unit.MILLISECONDS)

    def _reach(self, devices: Collection[DeviceLibraryIdentifier]) -> dict[PushToken, list[Device]]:
        """Read the devices that APNs can reach by push token. Two rows with one token are one phone that was restored
        from a backup: one push.
        """
        by_token: dict[PushToken, list[Device]] = defaultdict(list)
        for chunk in _chunks(sorted(devices), DEVICES_PER_REQUEST):
            for device in self.store.devices.with_push_tokens(chunk):
                if device.wallet is Wallet.APPLE:
                    by_token[device.push_token].append(device)
        return by_token

    def _unsettled_by(self, outcome: Outcome, devices: list[Device]) -> list[DeviceLibraryIdentifier]:
        """Return the devices that need another push; those that may be unregistered are handled at the end."""
        if outcome.kind in (OutcomeKind.DELIVERED, OutcomeKind.UNREGISTERED):
            return []
        return [device.identifier for device in devices]

    def _handle_all(
        self, send: "_Send", client: Client, pass_type_identifier: str, *, changed_at: float, until: float
    ) -> tuple[set[DeviceLibraryIdentifier], int]:
        """Remove, mark or hold devices that may be unregistered, and unmark devices that got a push.

        Args:
            send: all outcomes; devices that must be pushed to again are added to its `unsettled`.
            client: that pushed.
            pass_type_identifier: the topic.
            changed_at: epoch seconds of the change.
            until: monotonic seconds after which nothing is written; the remaining devices are pushed to again.

        Returns:
            The devices that are pushed to again much later, and the number of held devices.
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
                match _verdict(outcome, device, evidence):
                    case Verdict.HOLD:
                        reason = f"{outcome.status} {outcome.reason}"
                        held[reason].append(HeldDevice(device.identifier, device.updated_at))
                    case Verdict.WAIT:
                        self._mark(device, until=until)
                        rejected.add(device.identifier)
                    case Verdict.REMOVE if time.monotonic() >= until or not self._removed(device, outcome):
                        send.unsettled.add(device.identifier)
        for reason, devices_held in held.items():
            removals = HeldRemovals(pass_type_identifier, reason, tuple(devices_held), changed_at)
            if not self._held(removals):
                send.unsettled.update(device.identifier for device in devices_held)
        return rejected, sum(len(devices_held) for devices_held in held.values())

    def _note_delivery(self, client: Client, send: "_Send") -> None:
        """Record at intervals that this client delivers. Without the record, a removal may have to wait or be held."""
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
        """Collect the evidence of a send. The last delivery is read only if a token was refused and none delivered."""
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
        """Remove the mark of a device that got a push; True if that is done.

        A device that keeps its mark could be removed soon after a delivered push.
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
        """Mark a device that is refused for the first time. If that fails, its next refusal marks it."""
        if device.rejected_at is not None or time.monotonic() >= until:
            return
        try:
            self.store.devices.mark_rejected(device, at=self.clock())
        except TransientError as error:
            log.event("mark_rejected_failed", device=device.identifier, error=str(error))

    def _held(self, removals: HeldRemovals) -> bool:
        """Hold removals for an operator; True if they are held."""
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
        self._note_event("removals.held", removals.pass_type_identifier, removals.reason, devices=len(removals.devices))
        return True

    def _note_rejected(self, pass_type_identifier: str, ended: Mapping[tuple[OutcomeKind, str], int]) -> None:
        """Note that a credential or topic is rejected, or missing."""
        for (kind, reason), devices in ended.items():
            if kind is OutcomeKind.CONFIGURATION:
                self._note_event("pushes.rejected", pass_type_identifier, reason, devices=devices)

    def _note_event(self, name: str, pass_type_identifier: str, reason: str, *, devices: int) -> None:
        """Note an event about a pass type, at most once per interval and reason. Nothing depends on it: a failure is
        logged, and the next send notes it.
        """
        from chalicelib.updates.events import EventNote

        detail = {"pass_type_identifier": pass_type_identifier, "reason": reason, "devices": devices}
        note = EventNote(name, f"{pass_type_identifier} {reason}", detail)
        now = self.clock()
        if now - self.noted.get(note.key, -math.inf) < NOTE_EVENT_SECONDS:
            return
        try:
            self.store.versions.note_event(note, at=now, interval_seconds=NOTE_EVENT_SECONDS)
        except TransientError as error:
            log.event("event_not_noted", of=name, error=str(error))
        else:
            self.noted[note.key] = now

    def _removed(self, device: Device, outcome: Outcome) -> bool:
        """Remove a device that was unregistered at APNs' timestamp, or without one at the time of the push."""
        gone_at = outcome.timestamp if outcome.timestamp is not None else device.updated_at
        try:
            return remove_device(self.store, device, gone_at=gone_at)
        except TransientError as error:
            log.event("device_removal_failed", device=device.identifier, error=str(error))
            return False


def _identifiers(by_token: Mapping[PushToken, list[Device]]) -> frozenset[DeviceLibraryIdentifier]:
    return frozenset(device.identifier for devices in by_token.values() for device in devices)


def _verdict(outcome: Outcome, device: Device, evidence: SendEvidence) -> Verdict:
    if outcome.status == BAD_REQUEST_STATUS:
        return judge_rejected(evidence, rejected_at=device.rejected_at)
    return judge_unregistered(evidence)


def remove_device(store: Store, device: Device, *, gone_at: int) -> bool:
    """Remove a device's rows, unless its push token has changed or it registered after `gone_at`.

    Args:
        device: as read before the push.
        gone_at: epoch milliseconds (Apple, "Handling notification responses from APNs": `timestamp`).

    Returns:
        False if the device registered the same push token after `gone_at`: it exists and needs another push.

    Raises:
        TransientError: DynamoDB did not carry it out, or the row kept changing.
    """
    for _ in range(MAX_REMOVAL_ATTEMPTS):
        row = store.devices.get(device.identifier)
        if row is None or row.push_token != device.push_token:
            return True  # it registered again with a new token, and that call checked for changes
        if row.updated_at > gone_at:
            return False
        if store.devices.remove(row):
            log.event(
                "device_removed", device=device.identifier, passes=log.first_ids(row.passes), held=len(row.passes)
            )
    raise TransientError("an unregistered device could not be removed: its row kept changing; the push is retried")


def _log_outcome(outcome: Outcome, devices: list[Device], named: Mapping[str, str]) -> None:
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
