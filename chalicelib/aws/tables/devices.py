"""Reads and removes devices: their push tokens and the passes that they hold."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from chalicelib.aws.tables.connection import Tables
from chalicelib.aws.tables.counts import note_removal
from chalicelib.aws.tables.versions import version_of
from chalicelib.core.attributes import plain_item
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.updates.protocol import HeldPass
from chalicelib.updates.removal_notes import Cause, Removal

HELD_PASSES_PER_REQUEST = 50
"""BatchGetItem accepts 100 keys, and each pass needs two: its version and its registration."""
DEVICES_PER_REQUEST = 100
REMOVED_PASSES_PER_REQUEST = 98
"""TransactWriteItems accepts 100 actions: one is for the device row, and one for the note about the removal."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device row.

    Args:
        identifier: of the device.
        push_token: its current push token.
        updated_at: epoch milliseconds of its last registration call.
        passes: that it holds; empty if only its push token was read.
        rejected_at: epoch seconds of the first 400 BadDeviceToken since the last delivered push; None for none.
        wallet: the app that registered it last.
    """

    identifier: DeviceLibraryIdentifier
    push_token: PushToken
    updated_at: int
    passes: frozenset[PassId] = frozenset()
    rejected_at: int | None = None
    wallet: Wallet = Wallet.APPLE


class Devices:
    """Each method is one request."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, identifier: DeviceLibraryIdentifier) -> Device | None:
        """Read a device with its passes; None if it is unknown.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        response = self._tables.call(
            "GetItem",
            {
                "TableName": self._tables.devices.Meta.table_name,
                "Key": {"device_library_identifier": {"S": identifier.value}},
                "ConsistentRead": True,
            },
        )
        item = response.get("Item")
        return self._with_passes(item) if item else None

    def held_passes(self, identifier: DeviceLibraryIdentifier, pass_ids: Sequence[PassId]) -> dict[PassId, HeldPass]:
        """Read version and registration of up to `HELD_PASSES_PER_REQUEST` passes of a device.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        versions = self._tables.versions.Meta.table_name
        registrations = self._tables.registrations.Meta.table_name
        found = self._tables.batch_get(
            {
                versions: {"Keys": [{"pass_id": {"S": str(p)}} for p in pass_ids], "ConsistentRead": True},
                registrations: {
                    "Keys": [
                        {"pass_id": {"S": str(p)}, "device_library_identifier": {"S": identifier.value}}
                        for p in pass_ids
                    ],
                    "ConsistentRead": True,
                },
            }
        )
        version_by_pass = {item["pass_id"]["S"]: version_of(plain_item(item)) for item in found[versions]}
        registered_at = {item["pass_id"]["S"]: int(item["registered_at"]["N"]) for item in found[registrations]}
        return {p: HeldPass(version_by_pass.get(str(p)), registered_at.get(str(p))) for p in pass_ids}

    def with_push_tokens(self, identifiers: Collection[DeviceLibraryIdentifier]) -> list[Device]:
        """Read the push tokens of up to `DEVICES_PER_REQUEST` devices; unknown devices are left out.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        devices = self._tables.devices.Meta.table_name
        found = self._tables.batch_get(
            {
                devices: {
                    "Keys": [{"device_library_identifier": {"S": device.value}} for device in identifiers],
                    "ProjectionExpression": "device_library_identifier, push_token, updated_at, rejected_at, wallet",
                    "ConsistentRead": True,
                }
            }
        )
        return [_device_of(item) for item in found[devices]]

    def delete_if_empty(self, identifier: DeviceLibraryIdentifier) -> None:
        """Remove the device row if the device no longer holds a pass.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        devices = self._tables.devices
        row = devices(identifier.value)
        self._tables.write_one("DeleteItem", lambda: row.delete(condition=devices.passes.does_not_exist()))

    def mark_rejected(self, device: Device, *, at: float) -> None:
        """Record that APNs refuses the device's push token, unless that is recorded or the token has changed.

        Args:
            device: as read before the push.
            at: epoch seconds.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        devices = self._tables.devices
        condition = (devices.push_token == device.push_token.value) & devices.rejected_at.does_not_exist()
        self._update_if(device, devices.rejected_at.set(int(at)), condition)

    def clear_rejected(self, device: Device) -> None:
        """Remove the mark of a device that a push was delivered to, unless its push token has changed.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        devices = self._tables.devices
        self._update_if(device, devices.rejected_at.remove(), devices.push_token == device.push_token.value)

    def _update_if(self, device: Device, action: Action, condition: Condition) -> None:
        row = self._tables.devices(device.identifier.value)
        self._tables.write_one("UpdateItem", lambda: row.update(actions=[action], condition=condition))

    def remove(self, device: Device) -> bool:
        """Remove a device that APNs reports as unregistered, with `REMOVED_PASSES_PER_REQUEST` of its registrations.

        Nothing is written unless the row is unchanged since it was read: a device that has registered since then, or
        has another push token, is not the unregistered one.

        Returns:
            True if it was carried out, False if the row has changed.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        devices, registrations = self._tables.devices, self._tables.registrations
        batch = sorted(device.passes)[:REMOVED_PASSES_PER_REQUEST]
        row = devices(device.identifier.value)
        unchanged = (devices.push_token == device.push_token.value) & (devices.updated_at == device.updated_at)
        held = {str(pass_id) for pass_id in batch}

        def write(transaction: TransactWrite) -> None:
            for pass_id in held:
                transaction.delete(registrations(pass_id, device.identifier.value))
            if len(batch) == len(device.passes):
                transaction.delete(row, condition=unchanged)
            else:
                transaction.update(row, actions=[devices.passes.delete(held)], condition=unchanged)
            note = Removal(Cause.DEVICE_UNREGISTERED, device.updated_at // 1000)
            note_removal(self._tables, transaction, device.identifier, None, note)

        cancelled = self._tables.transact_write(write)
        return not cancelled

    def _with_passes(self, item: dict[str, dict[str, object]]) -> Device:
        row = self._tables.devices.from_raw_data(item)
        return Device(
            identifier=DeviceLibraryIdentifier(row.device_library_identifier),
            push_token=PushToken(row.push_token),
            updated_at=int(row.updated_at),
            passes=frozenset(PassId.parse(pass_id) for pass_id in row.passes or ()),
            rejected_at=None if row.rejected_at is None else int(row.rejected_at),
            wallet=Wallet(row.wallet or Wallet.APPLE.value),
        )


def _device_of(item: dict[str, dict[str, str]]) -> Device:
    """Convert a row without pynamodb's model, which takes as long per row as two pushes; a fan-out reads a million."""
    return Device(
        identifier=DeviceLibraryIdentifier(item["device_library_identifier"]["S"]),
        push_token=PushToken(item["push_token"]["S"]),
        updated_at=int(item["updated_at"]["N"]),
        rejected_at=int(item["rejected_at"]["N"]) if "rejected_at" in item else None,
        wallet=Wallet(item["wallet"]["S"]) if "wallet" in item else Wallet.APPLE,
    )
