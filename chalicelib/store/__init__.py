"""DynamoDB through pynamodb: each method is one request, so that what a flow costs is seen where it is written."""

from dataclasses import dataclass
from typing import Self

from chalicelib.settings import Settings
from chalicelib.store.devices import Devices
from chalicelib.store.passes import Passes
from chalicelib.store.registrations import Registrations
from chalicelib.store.tables import Tables
from chalicelib.store.versions import Versions


@dataclass(frozen=True, slots=True)
class Store:
    """The four tables, by the questions that are asked of them."""

    passes: Passes
    versions: Versions
    registrations: Registrations
    devices: Devices

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Over one connection, opened at the first request."""
        tables = Tables(settings)
        return cls(Passes(tables), Versions(tables), Registrations(tables), Devices(tables))
