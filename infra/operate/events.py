"""Counts registrations that were made before the stage had events, and corrects counts that differ from the table."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.counts import DAY, INDEX, REMOVAL, TOTAL, CountKind
from chalicelib.aws.tables.registrations import COUNTED
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.updates.holders import Counted
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.stage import Stage

WRITERS = 16
"""Number of concurrent writes."""
ATTEMPTS = 10
SETTLE_SECONDS = 5.0
"""A difference that does not change for this time is not a change that the stream has yet to deliver."""
KINDS_PER_REQUEST = 100
ROWS_OF_OTHER_KINDS = (TOTAL, DAY, REMOVAL, INDEX)


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
            if aws.error_code(error) != aws.CONDITION_FAILED:
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


def correct_counts(stage: Stage, *, settle_seconds: float = SETTLE_SECONDS) -> int:
    """Compare every count with the registrations, and set those that differ and stay different.

    Args:
        stage: the stage; its stream must not be delayed (`doctor` says if it is).
        settle_seconds: how long a difference must last.

    Returns:
        The number of corrected counts of passes and of totals.

    Raises:
        StoreError, ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    store = Store.connect(stage.settings)
    return _correct_passes(stage, store, settle_seconds) + _correct_totals(stage, store, settle_seconds)


def _correct_passes(stage: Stage, store: Store, settle_seconds: float) -> int:
    counts = {pass_id: holders for pass_id, _, holders in _counted_passes(stage)}
    held = _held_passes(stage)
    doubtful = sorted(pass_id for pass_id in counts.keys() | held.keys() if counts.get(pass_id, 0) != held[pass_id])
    if not doubtful:
        return 0
    first = {pass_id: (store.counts.of([pass_id])[pass_id], _holders(stage, pass_id)) for pass_id in doubtful}
    time.sleep(settle_seconds)
    corrected = 0
    for pass_id, (before, holders) in first.items():
        now = store.counts.of([pass_id])[pass_id]
        if now == before and now.holders != holders == _holders(stage, pass_id):
            corrected += store.counts.commit({pass_id: Counted(now, replace(now, holders=holders), ())})
    return corrected


def _correct_totals(stage: Stage, store: Store, settle_seconds: float) -> int:
    same = wrong_totals(stage, settle_seconds=settle_seconds)
    return sum(store.counts.correct_total(kind, seen=seen, holders=right) for kind, (seen, right) in same.items())


def wrong_totals(stage: Stage, *, settle_seconds: float = SETTLE_SECONDS) -> dict[CountKind, tuple[int, int]]:
    """Compare the totals of pass types and templates with the counts of their passes; reads the whole table of counts.

    Args:
        stage: the stage.
        settle_seconds: how long a difference must last.

    Returns:
        The total and the sum of those that differ, by pass type and template.

    Raises:
        StoreError, ClientError, BotoCoreError: AWS refused, or could not be reached.
    """
    store = Store.connect(stage.settings)
    first = _differing_totals(stage, store)
    if not first:
        return {}
    time.sleep(settle_seconds)
    return {kind: both for kind, both in _differing_totals(stage, store).items() if first.get(kind) == both}


def _differing_totals(stage: Stage, store: Store) -> dict[CountKind, tuple[int, int]]:
    sums: Counter[CountKind] = Counter()
    for pass_id, template, holders in _counted_passes(stage):
        sums[pass_id.pass_type_identifier, template] += holders
    kinds = sorted({*store.counts.kinds(), *sums})
    totals: dict[CountKind, int] = {}
    for start in range(0, len(kinds), KINDS_PER_REQUEST):
        totals |= store.counts.totals(kinds[start : start + KINDS_PER_REQUEST])
    return {kind: (totals[kind], sums[kind]) for kind in kinds if totals[kind] != sums[kind]}


def _held_passes(stage: Stage) -> Counter[PassId]:
    held: Counter[PassId] = Counter()
    for item in _scan(stage.table("registrations"), "pass_id, counted"):
        if "counted" in item and (pass_id := _pass_id(item["pass_id"]["S"])) is not None:
            held[pass_id] += 1
    return held


def _holders(stage: Stage, pass_id: PassId) -> int:
    pages = (
        aws.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=stage.table("registrations"),
            KeyConditionExpression="pass_id = :pass_id",
            FilterExpression="attribute_exists(counted)",
            ExpressionAttributeValues={":pass_id": {"S": str(pass_id)}},
            Select="COUNT",
            ConsistentRead=True,
        )
    )
    return sum(int(page["Count"]) for page in pages)


def _counted_passes(stage: Stage) -> Iterator[tuple[PassId, str, int]]:
    """Yield the counted passes with their template and holders."""
    for item in _scan(stage.table("counts"), "id, holders, template"):
        if "holders" in item and (pass_id := _pass_id(item["id"]["S"])) is not None:
            yield pass_id, item.get("template", {}).get("S", ""), int(item["holders"]["N"])


def _scan(table: str, attributes: str) -> Iterator[dict[str, Any]]:
    names = {f"#{name.strip()}": name.strip() for name in attributes.split(",")}
    pages = (
        aws.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=table,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
            ConsistentRead=True,
        )
    )
    for page in pages:
        yield from page["Items"]


def _pass_id(text: str) -> PassId | None:
    """Return the pass of a row's key; None for rows of totals, and for keys that no pass has."""
    if text.startswith(ROWS_OF_OTHER_KINDS):
        return None
    try:
        return PassId.parse(text)
    except RefusedError:
        return None
