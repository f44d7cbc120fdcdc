"""A device adds or removes a pass: device -> API -> devices and registrations.

Registering writes the registration before it reads the version of the pass, as `updates/protocol.py` explains: "write
yours, then read theirs".
"""

from dataclasses import dataclass

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.flows.authorize import authorize
from chalicelib.telemetry import log


@dataclass(frozen=True, slots=True)
class Registrar:
    """Registers and unregisters devices."""

    store: Store
    keys: AuthenticationKeys
    queue: Queue

    def register(
        self,
        *,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        authorization: str | None,
        push_token: PushToken,
        now: float,
        wallet: Wallet = Wallet.APPLE,
    ) -> bool:
        """Record that the device holds the pass, and its push token.

        Args:
            device: the device.
            pass_id: the pass.
            authorization: the header.
            push_token: the device's.
            now: the time of the request in epoch seconds.
            wallet: the app that registers; only devices with Apple's get pushes.

        Returns:
            True if the device registered for the pass for the first time, False if it was registered before.

        Raises:
            UnauthorizedError: nothing was written.
            StoreError, QueueError: it may have been carried out partly; repeating the call completes it.
        """
        authorize(self.store, self.keys, pass_id, authorization=authorization)
        first_time = self.store.registrations.create(device, pass_id, push_token=push_token, at=now, wallet=wallet)
        if not first_time:
            self.store.registrations.refresh(device, pass_id, push_token=push_token, at=now, wallet=wallet)
        version = self.store.versions.get(pass_id)
        # A pass that was deleted in the meantime keeps its registrations, including this one, until its grace period
        # ends. If it is created again, it is stamped after this, and all of them get a push.
        if wallet is Wallet.APPLE and version is not None and version.changed_since_issue and not version.deleted:
            # The change may have come between the device's download and this call, so its pushes may have missed it.
            from chalicelib.updates.push_tasks import NotifyDevices

            self.queue.send([NotifyDevices(pass_id.pass_type_identifier, (device,), now, log.request_id())])
        log.event("registered", pass_id=pass_id, device=device, first_time=first_time, wallet=wallet.value)
        return first_time

    def unregister(self, *, device: DeviceLibraryIdentifier, pass_id: PassId, authorization: str | None) -> None:
        """Record that the device no longer holds the pass. Repeating it changes nothing.

        Raises:
            UnauthorizedError: nothing was written.
            StoreError: it may have been carried out partly; repeating the call completes it.
        """
        authorize(self.store, self.keys, pass_id, authorization=authorization)
        self._remove(device, pass_id)
        log.event("unregistered", pass_id=pass_id, device=device)

    def _remove(self, device: DeviceLibraryIdentifier, pass_id: PassId) -> None:
        self.store.registrations.delete(device, pass_id)
        self.store.devices.delete_if_empty(device)
