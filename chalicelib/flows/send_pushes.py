"""Push to devices, and act on what APNs says of each: a device that is gone is forgotten, what is unsettled is named.

A push says only "something of this pass type changed", so a device gets one for each pass type, however many of its
passes changed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from chalicelib.apns.client import Client, Outcome, Push
from chalicelib.apns.reasons import OutcomeKind, metric_reason
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.devices import DEVICES_PER_REQUEST, Device
from chalicelib.core.errors import ConfigurationError, TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PushToken
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit

MAX_REMOVAL_ATTEMPTS = 20
"""How often a device that is gone is looked at again, while it changes or holds more passes than one request takes."""
MAX_LOGGED_DELIVERIES = 20
"""Deliveries of a larger wake are counted, not logged one by one: a line costs a third of what a push does."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """How waking some devices ended.

    Args:
        unsettled: the devices that must still be told, by another attempt.
        misconfigured: whether that attempt is in vain until a person acts: a credential or topic is wrong.
    """

    unsettled: frozenset[DeviceLibraryIdentifier]
    misconfigured: bool = False


@dataclass(frozen=True, slots=True)
class PushSender:
    """What pushes.

    Args:
        store: where devices' push tokens are.
        metrics: pushes by outcome and reason, new connections, and the time from a change to its last push here.
        client_for: the APNs client of a pass type; raises ConfigurationError or TransientError where it has none.
        clock: epoch seconds.
    """

    store: Store
    metrics: Metrics
    client_for: Callable[[str], Client]
    clock: Callable[[], float]

    def send(
        self,
        pass_type_identifier: str,
        devices: Collection[DeviceLibraryIdentifier],
        *,
        changed_at: float,
        deadline: float,
        changes: str = "",
    ) -> SendResult:
        """Push once to each of these devices, and forget those that are gone.

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
        unsettled: set[DeviceLibraryIdentifier] = set()
        ended: Counter[tuple[OutcomeKind, str]] = Counter()
        connections = client.connections
        for outcome in client.push(pushes, deadline=deadline):
            ended[outcome.kind, metric_reason(outcome.reason)] += 1
            found = by_token[outcome.push.push_token]
            if outcome.kind is not OutcomeKind.DELIVERED or len(by_token) <= MAX_LOGGED_DELIVERIES:
                _note(outcome, found, named)
            unsettled.update(self._unsettled_by(outcome, found))
        kinds: Counter[OutcomeKind] = Counter()
        for (kind, reason), count in ended.items():
            kinds[kind] += count
            self.metrics.count("Pushes", count, outcome=kind.value, reason=reason)
        if opened := client.connections - connections:
            self.metrics.count("ApnsConnections", opened)
        self.metrics.put({"DeferredPercent": 100 * len(unsettled) / len(devices)}, Unit.PERCENT)
        if unsettled:
            self._measure_put_off(changed_at)
        if kinds[OutcomeKind.DELIVERED]:
            self.metrics.put({"PushLatency": (self.clock() - changed_at) * 1000}, Unit.MILLISECONDS)
        log.event(
            "pushes_sent",
            pass_type_identifier=pass_type_identifier,
            devices=len(devices),
            unsettled=len(unsettled),
            outcomes={kind.value: count for kind, count in kinds.items()},
            **named,
        )
        misconfigured = kinds[OutcomeKind.CONFIGURATION] > 0 and kinds[OutcomeKind.DELIVERED] == 0
        return SendResult(frozenset(unsettled), misconfigured=misconfigured)

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
        """The devices of one push that must still be told after it."""
        match outcome.kind:
            case OutcomeKind.DELIVERED:
                return []
            case OutcomeKind.GONE:
                return [device.identifier for device in devices if not self._left(device, outcome)]
        return [device.identifier for device in devices]

    def _left(self, device: Device, outcome: Outcome) -> bool:
        """Forget a device that was gone at the time that APNs names, or else as it was when it was pushed to."""
        gone_at = outcome.timestamp if outcome.timestamp is not None else device.updated_at
        try:
            return remove_device(self.store, device, gone_at=gone_at)
        except TransientError as error:
            log.event("device_removal_failed", device=device.identifier, error=str(error))
            return False


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
