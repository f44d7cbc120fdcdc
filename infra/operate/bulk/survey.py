"""Tells what an import would do, by comparing its rows with the items in the table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config

from chalicelib.aws.templates import Templates
from chalicelib.core.attributes import plain_item
from chalicelib.core.errors import RefusedError
from chalicelib.passes.item import PassItem
from infra.operate.bulk.files.base import RowFile
from infra.operate.bulk.plan import ImportPlan, ImportProgress, columns_of, item_of
from infra.operate.passes.registrations import RegistrationCounter
from infra.stage import aws

READ_AT_ONCE = 100
"""AWS, "BatchGetItem"."""
SHOWN_REFUSALS = 10


@dataclass(slots=True)
class Survey:
    """Effects of an import.

    Args:
        new: number of passes that the stage does not have.
        changed: number of passes whose devices would see a difference.
        unchanged: number of passes that have this content already.
        rejected: number of rows that would be refused.
        refusals: line and reason of the first refused rows.
        devices: number of devices to notify.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    refusals: list[str] = field(default_factory=list)
    devices: int = 0


class _Comparison:
    """Compares items with those in the table, a request at a time."""

    def __init__(self, plan: ImportPlan) -> None:
        self.survey = Survey()
        self.changed: set[str] = set()
        self._table = plan.table_name
        self._client = aws.client("dynamodb", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))
        self._waiting: dict[str, Mapping[str, Any]] = {}

    def add(self, item: Mapping[str, Any]) -> None:
        self._waiting[item["pass_id"]] = item
        if len(self._waiting) == READ_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Compare the items that were added since the last request."""
        stored = self._stored()
        for pass_id, item in self._waiting.items():
            before = stored.get(pass_id)
            if before is None:
                self.survey.new += 1
            elif is_same_content(before, item):
                self.survey.unchanged += 1
            else:
                self.survey.changed += 1
                self.changed.add(pass_id)
        self._waiting = {}

    def _stored(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        keys: list[dict[str, Any]] = [{"pass_id": {"S": pass_id}} for pass_id in self._waiting]
        while keys:
            answer = self._client.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
            found |= {item["pass_id"]["S"]: plain_item(item) for item in answer["Responses"].get(self._table, [])}
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        return found


def survey_import(
    file: RowFile, plan: ImportPlan, templates: Templates, *, on_rows: Callable[[ImportProgress], object]
) -> Survey:
    """Return what importing a file would do, without writing.

    Args:
        file: the rows.
        plan: options.
        templates: templates of the stage.
        on_rows: called with the progress after each row.

    Raises:
        ColumnsError: the columns cannot become passes.
    """
    columns = columns_of(file, plan, templates, upload=False)
    comparison = _Comparison(plan)
    survey = comparison.survey
    accepted = 0
    for row in file.rows():
        item, reason = item_of(row, columns)
        if item is not None:
            comparison.add(item)
            accepted += 1
        else:
            survey.rejected += 1
            if len(survey.refusals) < SHOWN_REFUSALS:
                survey.refusals.append(f"line {row.line}: {reason}")
        on_rows(ImportProgress(row.position, accepted, survey.rejected))
    comparison.finish()
    survey.devices = RegistrationCounter(plan.stage).devices(comparison.changed)
    return survey


def is_same_content(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return True if devices would see no difference between a stored item and the one that replaces it."""
    try:
        return PassItem.parse(before).same_content(PassItem.parse(after))
    except RefusedError:  # the stored item is invalid
        return False
