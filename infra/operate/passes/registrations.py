"""Counts the devices that a command would notify, before it does."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from botocore.config import Config

from infra.stage import aws
from infra.stage.stage import Stage

READERS = 8
QUERIED_PASSES = 500
"""With more passes than this, the registrations table is read from its beginning: a page of it has about 6,000 rows."""


class RegistrationCounter:
    """Counts the registrations of a deployed stage.

    Args:
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._table_name = stage.table("registrations")
        self._client = aws.client("dynamodb", config=Config(max_pool_connections=READERS))

    def devices(self, keys: Collection[str]) -> int:
        """Return the number of devices that are registered for any of these passes.

        Args:
            keys: keys of passes, each once.
        """
        if not keys:
            return 0
        found: set[int] = set()  # hashes: a stage may have millions of devices
        if len(keys) <= QUERIED_PASSES:
            with ThreadPoolExecutor(READERS) as readers:
                for devices in readers.map(lambda key: list(self._registered(key)), keys):
                    found.update(map(hash, devices))
            return len(found)
        wanted = frozenset(keys)
        for row in self._rows("scan", ProjectionExpression="pass_id, device_library_identifier"):
            if row["pass_id"]["S"] in wanted:
                found.add(hash(row["device_library_identifier"]["S"]))
        return len(found)

    def has_more_than(self, count: int) -> bool:
        """Return True if the stage has more registrations than this, of any passes."""
        rows = self._rows("scan", ProjectionExpression="pass_id", PaginationConfig={"PageSize": count + 1})
        return len(list(islice(rows, count + 1))) > count

    def _registered(self, key: str) -> Iterator[str]:
        rows = self._rows(
            "query",
            ProjectionExpression="device_library_identifier",
            KeyConditionExpression="pass_id = :pass_id",
            ExpressionAttributeValues={":pass_id": {"S": key}},
        )
        return (row["device_library_identifier"]["S"] for row in rows)

    def _rows(self, operation: str, **request: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - of boto3
        for page in self._client.get_paginator(operation).paginate(TableName=self._table_name, **request):
            yield from page["Items"]
