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
from chalicelib.updates.removal_notes import Cause, Removal

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
        return self._put(
            device, pass_id, push_token=push_token, at=at, wallet=wallet, condition="attribute_not_exists(pass_id)"
        )

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
        self._put(device, pass_id, push_token=push_token, at=at, wallet=wallet)

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

    def _put(
        self,
        device: DeviceLibraryIdentifier,
        pass_id: PassId,
        *,
        push_token: PushToken,
        at: float,
        wallet: Wallet,
        condition: str | None = None,
    ) -> bool:
        """Write a registration and update its device row; False, without a write, if the condition failed."""
        stored: dict[str, object] = {} if wallet is Wallet.APPLE else {"wallet": {"S": wallet.value}}
        row: dict[str, object] = {
            "pass_id": {"S": str(pass_id)},
            "device_library_identifier": {"S": device.value},
            "registered_at": {"N": str(int(at))},
            "counted": {"N": str(COUNTED)},
            **stored,
        }
        put: dict[str, object] = {"TableName": self._tables.registrations.Meta.table_name, "Item": row}
        if condition is not None:
            put["ConditionExpression"] = condition
        values: dict[str, object] = {
            ":token": {"S": push_token.value},
            ":at": {"N": str(int(at * 1000))},
            ":passes": {"SS": [str(pass_id)]},
        }
        changes = "SET push_token = :token, updated_at = :at"
        if stored:
            changes += ", wallet = :wallet ADD passes :passes REMOVE rejected_at"
            values[":wallet"] = stored["wallet"]
        else:
            changes += " ADD passes :passes REMOVE rejected_at, wallet"
        update = {
            "TableName": self._tables.devices.Meta.table_name,
            "Key": {"device_library_identifier": {"S": device.value}},
            "UpdateExpression": changes,
            "ExpressionAttributeValues": values,
        }
        return self._tables.transact([{"Put": put}, {"Update": update}])
