"""DynamoDB through pynamodb: each method is one request, so that what a flow costs is seen where it is written."""

from dataclasses import dataclass
from typing import Self

from chalicelib.aws.tables.connection import Tables
from chalicelib.aws.tables.devices import Devices
from chalicelib.aws.tables.passes import Passes
from chalicelib.aws.tables.registrations import Registrations
from chalicelib.aws.tables.versions import Versions
from chalicelib.settings import Settings


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
