"""Counts registrations that were made before the stage had events."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.aws.tables.registrations import COUNTED
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.stage import Stage

WRITERS = 16
"""Number of concurrent writes."""
ATTEMPTS = 10


def count_earlier_registrations(stage: Stage, *, on_progress: Callable[[int], object]) -> int:
    """Mark the registrations that are not counted; the stream of the table delivers each mark, which counts it.

    A registration that is removed or repeated meanwhile is counted correctly. An interrupted call can be repeated.

    Args:
        stage: the stage.
        on_progress: called with the number of registrations that were marked since the last call.

    Returns:
        The number of marked registrations.

    Raises:
        ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    table = stage.table("registrations")
    config = Config(max_pool_connections=WRITERS, retries={"total_max_attempts": ATTEMPTS, "mode": "standard"})
    dynamodb = retry_conflicts(aws.client("dynamodb", config=config))

    def mark(key: dict[str, Any]) -> bool:
        try:
            dynamodb.update_item(
                TableName=table,
                Key=key,
                UpdateExpression="SET counted = :counted",
                ConditionExpression="attribute_exists(pass_id) AND attribute_not_exists(counted)",
                ExpressionAttributeValues={":counted": {"N": str(COUNTED)}},
            )
        except ClientError as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True

    marked = 0
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="attribute_not_exists(counted)",
        ProjectionExpression="pass_id, device_library_identifier",
        ConsistentRead=True,
    )
    with ThreadPoolExecutor(WRITERS) as writers:
        for page in pages:
            done = sum(writers.map(mark, page["Items"]))
            marked += done
            on_progress(done)
    return marked
