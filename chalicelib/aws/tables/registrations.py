"""Registers and unregisters devices for passes, and lists the devices of a pass.

A registration consists of two rows that change together: the registration itself, found by pass, and the pass in its
device's set, found by device.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pynamodb.transactions import TransactWrite

from chalicelib.aws.tables.connection import Tables
from chalicelib.aws.tables.counts import note_removal
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.updates.holders import Cause, Removal

COUNTED = 1
"""Marks a registration as part of its pass's count (`updates/holders.py`)."""


@dataclass(frozen=True, slots=True)
class RegistrationPage:
    """A page of the devices that hold a pass.

    Args:
        registered_at: epoch seconds by device, in the table's order.
        more: True if there may be devices after the last one.
    """

    registered_at: Mapping[DeviceLibraryIdentifier, int]
    more: bool

    @property
    def devices(self) -> tuple[DeviceLibraryIdentifier, ...]:
        """The devices in the table's order."""
        return tuple(self.registered_at)


class Registrations:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def create(
        self,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        *,
        push_token: PushToken,
        at: float,
        wallet: Wallet = Wallet.APPLE,
    ) -> bool:
        """Register the device for the pass; False, without a write, if it is registered already.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        registrations = self._tables.registrations

        def write(transaction: TransactWrite) -> None:
            transaction.save(
                registrations(
                    str(pass_id), device.value, registered_at=int(at), counted=COUNTED, wallet=_stored(wallet)
                ),
                condition=registrations.pass_id.does_not_exist(),
            )
            self._update_device(transaction, device, pass_id, push_token=push_token, at=at, wallet=wallet)

        cancelled = self._tables.transact_write(write)
        return not cancelled

    def refresh(
        self,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        *,
        push_token: PushToken,
        at: float,
        wallet: Wallet = Wallet.APPLE,
    ) -> None:
        """Repeat a registration: update the push token and `registered_at`.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        registrations = self._tables.registrations

        def write(transaction: TransactWrite) -> None:
            transaction.save(
                registrations(
                    str(pass_id), device.value, registered_at=int(at), counted=COUNTED, wallet=_stored(wallet)
                )
            )
            self._update_device(transaction, device, pass_id, push_token=push_token, at=at, wallet=wallet)

        self._tables.transact_write(write)

    def delete(self, device: DeviceLibraryIdentifier, pass_id: PassId, *, registered_at: int | None = None) -> bool:
        """Unregister the device from the pass; False, without a write, if it was not registered.

        Args:
            device: to unregister.
            pass_id: of the pass.
            registered_at: epoch seconds of a deleted pass's registration, as read before: a newer one is not removed.
                None if the device unregisters.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        registrations, devices = self._tables.registrations, self._tables.devices

        condition = registrations.pass_id.exists()
        if registered_at is not None:
            condition &= registrations.registered_at == registered_at

        def write(transaction: TransactWrite) -> None:
            transaction.delete(registrations(str(pass_id), device.value), condition=condition)
            transaction.update(devices(device.value), actions=[devices.passes.delete({str(pass_id)})])
            if registered_at is not None:
                note_removal(self._tables, transaction, device, pass_id, Removal(Cause.PASS_DELETED, registered_at))

        cancelled = self._tables.transact_write(write)
        return not cancelled

    def page(self, pass_id: PassId, *, after: DeviceLibraryIdentifier | None, limit: int) -> RegistrationPage:
        """Read up to `limit` devices that hold the pass, in the table's order, starting after `after`.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        parameters: dict[str, Any] = {
            "TableName": self._tables.registrations.Meta.table_name,
            "KeyConditionExpression": "pass_id = :pass_id",
            "ExpressionAttributeValues": {":pass_id": {"S": str(pass_id)}},
            "ProjectionExpression": "device_library_identifier, registered_at",
            "ConsistentRead": True,
            "Limit": limit,
        }
        if after is not None:
            parameters["ExclusiveStartKey"] = {
                "pass_id": {"S": str(pass_id)},
                "device_library_identifier": {"S": after.value},
            }
        response = self._tables.call("Query", parameters)
        return RegistrationPage(
            registered_at={
                DeviceLibraryIdentifier(item["device_library_identifier"]["S"]): int(item["registered_at"]["N"])
                for item in response["Items"]
            },
            more="LastEvaluatedKey" in response,
        )

    def _update_device(
        self,
        transaction: TransactWrite,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        *,
        push_token: PushToken,
        at: float,
        wallet: Wallet,
    ) -> None:
        devices = self._tables.devices
        stored = _stored(wallet)
        transaction.update(
            devices(device.value),
            actions=[
                devices.push_token.set(push_token.value),
                devices.passes.add({str(pass_id)}),
                devices.updated_at.set(int(at * 1000)),
                devices.rejected_at.remove(),
                devices.wallet.set(stored) if stored else devices.wallet.remove(),
            ],
        )


def _stored(wallet: Wallet) -> str | None:
    """Return the wallet as rows have it: none for Apple's, which nearly all are."""
    return None if wallet is Wallet.APPLE else wallet.value
