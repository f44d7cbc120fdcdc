"""Touches the passes of a template after it has changed, so that phones download them again.

A touch writes the template's revision to the item, which counts as a change (`chalicelib/passes/item.py`). Passes that
have the revision already are skipped, so that the work can be interrupted at any time and resumed from any machine.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from infra.operate.pace import RateLimit
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.stage import Stage

WRITERS = 8
"""Number of concurrent writes; one takes some milliseconds, most of them waiting."""
BURST_SECONDS = 0.1
"""Touches are sent in bursts of this duration, so that a low rate is not one burst and a long pause."""


def untouched(stage: Stage, *, template: str, revision: str) -> Iterator[list[str]]:
    """Yield pages of the pass ids of a template's passes that do not have the revision yet."""
    table = aws.resource("dynamodb").Table(stage.table("passes"))
    query: dict[str, Any] = {
        "ProjectionExpression": "pass_id",
        "FilterExpression": "#template = :template AND NOT #revision = :revision",
        "ExpressionAttributeNames": {"#template": "template", "#revision": "template_revision"},
        "ExpressionAttributeValues": {":template": template, ":revision": revision},
    }
    while True:
        page = table.scan(**query)
        yield [str(item["pass_id"]) for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def used_by(stage: Stage, *, template: str, most: int) -> list[str]:
    """Return up to `most` pass ids of a template's passes. If it has fewer, the whole table is read."""
    table = aws.resource("dynamodb").Table(stage.table("passes"))
    query: dict[str, Any] = {
        "ProjectionExpression": "pass_id",
        "FilterExpression": "#template = :template",
        "ExpressionAttributeNames": {"#template": "template"},
        "ExpressionAttributeValues": {":template": template},
        "ConsistentRead": True,
    }
    found: list[str] = []
    while True:
        page = table.scan(**query)
        found += [str(item["pass_id"]) for item in page["Items"]]
        if len(found) >= most or "LastEvaluatedKey" not in page:
            return found[:most]
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def touch(
    stage: Stage,
    pages: Iterable[list[str]],
    *,
    template: str,
    revision: str,
    rate: float,
    on_progress: Callable[[int], object],
) -> int:
    """Touch passes, in the order of the pages.

    Args:
        stage: the stage of the passes.
        pages: pages of pass ids.
        template: name of the template; passes that were deleted or have another template meanwhile are skipped.
        revision: the revision to write.
        rate: maximum number of passes per second.
        on_progress: called with the number of passes touched in each step.

    Returns:
        The number of passes touched.
    """
    table = aws.resource("dynamodb", config=Config(max_pool_connections=WRITERS)).Table(stage.table("passes"))
    retry_conflicts(table.meta.client)
    request: Mapping[str, Any] = {
        "UpdateExpression": "SET template_revision = :revision",
        "ConditionExpression": "#template = :template",
        "ExpressionAttributeNames": {"#template": "template"},
        "ExpressionAttributeValues": {":template": template, ":revision": revision},
    }

    def write(pass_id: str) -> int:
        try:
            table.update_item(Key={"pass_id": pass_id}, **request)
        except ClientError as error:
            if aws.error_code(error) != aws.CONDITION_FAILED:
                raise
            return 0
        return 1

    total = 0
    pace = RateLimit(rate)
    burst = max(1, min(WRITERS, round(rate * BURST_SECONDS)))
    with ThreadPoolExecutor(WRITERS) as writers:
        for page in pages:
            for start in range(0, len(page), burst):
                chunk = page[start : start + burst]
                pace.wait(len(chunk))
                count = sum(writers.map(write, chunk))
                total += count
                on_progress(count)
    return total
