"""Accesses DynamoDB through pynamodb. Each method is one request, so that the cost of a flow is visible in its code."""

from dataclasses import dataclass
from typing import Any, Self

from chalicelib.aws.tables.connection import Tables
from chalicelib.aws.tables.devices import Devices
from chalicelib.aws.tables.passes import Passes
from chalicelib.aws.tables.registrations import Registrations
from chalicelib.aws.tables.timelines import Timelines
from chalicelib.aws.tables.versions import Versions
from chalicelib.settings import Settings


@dataclass(frozen=True, slots=True)
class Store:
    """The tables of a stage; the timelines are a row of the versions table."""

    passes: Passes
    versions: Versions
    registrations: Registrations
    devices: Devices
    timelines: Timelines

    @classmethod
    def connect(cls, settings: Settings, *, client: Any = None) -> Self:  # noqa: ANN401 - botocore's have no types
        """Make the tables over one connection, which opens at the first request.

        Args:
            settings: names of the tables.
            client: botocore's client for DynamoDB; None to make one.
        """
        tables = Tables(settings, client=client)
        return cls(Passes(tables), Versions(tables), Registrations(tables), Devices(tables), Timelines(tables))
