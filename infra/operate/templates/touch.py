"""After a template changed: touch its passes, so that every phone that holds one downloads it anew.

A touch writes the template's revision into the item, which counts as a change (`domain/items.py`). A pass that has it
already is passed over, so the work can be interrupted at any point and begun again, from any machine.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from infra.operate.pace import Pace
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.stage import Stage

WRITERS = 8
"""Touches under way at a time: one takes some milliseconds, most of them waiting."""
BURST_SECONDS = 0.1
"""So much of a second's touches go out together: a low rate is not one burst and a long wait."""


def untouched(stage: Stage, *, template: str, revision: str) -> Iterator[list[str]]:
    """The pass_ids of a template's passes that have not got the revision, a page of the table at a time."""
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


def touch(
    stage: Stage,
    pages: Iterable[list[str]],
    *,
    template: str,
    revision: str,
    rate: float,
    touched: Callable[[int], object],
) -> int:
    """Touch passes at `rate` a second, in the order of the table.

    Args:
        stage: whose passes.
        pages: of pass_ids.
        template: one that has changed its template in the meantime, or is gone, is left alone.
        revision: what to write.
        rate: passes a second, at most.
        touched: takes the count of each step, as it is done.

    Returns:
        How many were touched.
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
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return 0
        return 1

    total = 0
    pace = Pace(rate)
    together = max(1, min(WRITERS, round(rate * BURST_SECONDS)))
    with ThreadPoolExecutor(WRITERS) as writers:
        for page in pages:
            for start in range(0, len(page), together):
                few = page[start : start + together]
                pace.wait(len(few))
                done = sum(writers.map(write, few))
                total += done
                touched(done)
    return total
