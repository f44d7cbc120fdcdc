"""Notes about removed registrations: the stream of the registrations table does not tell why a row was deleted."""

from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """Why a registration was removed."""

    PERSON = "person"
    """The device unregistered: its person removed the pass or switched off its updates."""
    DEVICE_UNREGISTERED = "device_unregistered"
    """APNs reports the device as unregistered."""
    PASS_DELETED = "pass_deleted"
    """A pipeline deleted the pass."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A note about a removal that the service itself carried out, written in the removal's transaction.

    Args:
        cause: of the removal.
        registered_until: epoch seconds: later registrations are not the removed ones.
    """

    cause: Cause
    registered_until: int
