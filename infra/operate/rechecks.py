"""Requests rechecks and pushes of passes by hand: of refused ones, of those that changed, and of lost versions."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import Any
from uuid import uuid4

from chalicelib.aws.queue import MESSAGES_PER_REQUEST
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.updates.push_tasks import FanOut, Recheck, RecheckReason
from infra.operate.queues import StageQueues
from infra.stage import aws
from infra.stage.stage import Stage

SENDERS = 8
"""Requests to SQS at the same time; one takes some milliseconds, most of them waiting."""
FIRST_REVISION = 1
"""Revision of a pass as it was first issued."""


def recheck_refused(stage: Stage, template: str, *, on_progress: Callable[[int], object]) -> int:
    """Request a recheck of the passes of a template whose items were refused.

    The versions are read with strong consistency after the template was published. A refusal that is recorded later
    is not missed either: the function that records it reads the template again afterwards.

    Args:
        stage: the stage.
        template: name of the template.
        on_progress: called with the number of passes of each step.

    Returns:
        The number of passes.
    """
    return recheck(stage, refused_passes(stage, template), RecheckReason.REFUSED, on_progress=on_progress)


def refused_passes(stage: Stage, template: str) -> list[str]:
    """Return the keys of the passes of a template whose items were refused."""
    return _keys(
        stage.tables["versions"],
        FilterExpression="refused.#template = :template AND NOT deleted = :true",
        ExpressionAttributeNames={"#template": "template"},
        ExpressionAttributeValues={":template": {"S": template}, ":true": {"BOOL": True}},
    )


def changed_passes(stage: Stage, since: float) -> list[str]:
    """Return the keys of the passes that have changed since a time, epoch seconds."""
    return _keys(
        stage.tables["versions"],
        FilterExpression="modified_at >= :since AND NOT deleted = :true",
        ExpressionAttributeValues={":since": {"N": str(int(since))}, ":true": {"BOOL": True}},
    )


def unversioned_passes(stage: Stage) -> list[str]:
    """Return the keys of the passes without a version, or with only a first one, after versions were lost.

    A first version that was set since may be that of a later change, which a device that registers then would miss.
    """
    later = _keys(
        stage.tables["versions"],
        FilterExpression="revision > :one",
        ExpressionAttributeValues={":one": {"N": str(FIRST_REVISION)}},
    )
    keys = _keys(stage.tables["passes"])
    return sorted(key for key in set(keys) - set(later) if _is_pass_id(key))


def recheck(stage: Stage, keys: Sequence[str], reason: RecheckReason, *, on_progress: Callable[[int], object]) -> int:
    """Request a recheck of passes; can be repeated after an interruption.

    Args:
        stage: the stage.
        keys: keys of passes.
        reason: `UNSETTLED` gives each pass a new stamp and its devices a push, changed or not.
        on_progress: called with the number of passes of each step.

    Returns:
        The number of passes.
    """
    queues, change = StageQueues(stage), f"by-hand-{uuid4()}"

    def request(start: int) -> int:
        chunk = keys[start : start + MESSAGES_PER_REQUEST]
        queues.push_together([Recheck(PassId.parse(key), reason, time(), change) for key in chunk])
        return len(chunk)

    starts = range(0, len(keys), MESSAGES_PER_REQUEST)
    with ThreadPoolExecutor(SENDERS) as senders:
        for first in range(0, len(starts), SENDERS):
            for count in senders.map(request, starts[first : first + SENDERS]):
                on_progress(count)
    return len(keys)


def push_again(stage: Stage, pass_id: PassId) -> None:
    """Request a push to every device that is registered for a pass, changed or not."""
    task = FanOut(pass_id, after=None, changed_at=time(), change=f"by-hand-{uuid4()}")
    StageQueues(stage).push(task)


def _keys(table: str, **filters: Any) -> list[str]:  # noqa: ANN401 - arguments of Scan
    """Read the keys of a table of passes, of all its rows or of those that a filter matches."""
    pages = (
        aws.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=table, ProjectionExpression="pass_id", ConsistentRead=True, **filters)
    )
    return [str(row["pass_id"]["S"]) for page in pages for row in page["Items"]]


def _is_pass_id(key: str) -> bool:
    try:
        PassId.parse(key)
    except RefusedError:
        return False
    return True
