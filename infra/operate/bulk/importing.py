"""Many passes from a file into the passes table: read, proven row by row, written with BatchWriteItem, noted.

Rows go out in requests of up to 25, several under way at a time. A request that holds a pass which another one under
way holds too waits for it, so that rows are written as if one after the other: of two rows of one pass the later wins.
What was settled is noted request by request (`journal.py`); a run that ended in the middle, however it ended, goes on
with what was not. What became of the requests that were under way then, `MAX_ROWS_IN_DOUBT` rows at most, nobody noted:
these rows are read first, and one that stands in the table as it is to be is not written again.
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.templates import Templates
from chalicelib.core.attributes import plain_item
from chalicelib.core.errors import RefusedError, TransientError
from infra.core.private_files import open_private
from infra.operate.bulk.cells import to_dynamodb
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.journal import Journal, Settled
from infra.operate.bulk.rows import Row, RowFile
from infra.operate.pace import Pace
from infra.operate.passes.images import ImageUploads
from infra.stage import aws
from infra.stage.aws import explain
from infra.stage.stage import Stage

ROWS_PER_REQUEST = 25
"""AWS, "BatchWriteItem"."""
REQUESTS_AT_ONCE = 8
MAX_ROWS_IN_DOUBT = ROWS_PER_REQUEST * REQUESTS_AT_ONCE
MAX_ROWS_OF_BATCH = 500
"""Rows that are noted together, the refused ones among them."""
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 10.0
MAX_ATTEMPTS = 12
"""Tries without a single row taken, over half a minute and more, before an import stops."""
THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")


class ImportStoppedError(TransientError):
    """An import that could not go on: what was settled is noted, and the same command goes on from there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: `position` of the file's `size`."""

    position: int
    written: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import ended.

    Args:
        written: rows that this run wrote.
        skipped: rows that an earlier run had settled, or written when it ended.
        rejected: rows that were refused, by this run or an earlier one of the same import.
        seconds: of this run.
        rejects: where the refused rows are; None where there are none.
    """

    written: int
    skipped: int
    rejected: int
    seconds: float
    rejects: Path | None

    @property
    def rows_per_second(self) -> float:
        return self.written / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to import and how.

    Args:
        stage: whose passes; its name is part of the journal's name.
        pass_type: of rows that have a serial number alone.
        template: of rows that name none.
        mapping: column to target, where the column's name does not say it (`columns.py`).
        rate: rows a second, at most; None for as many as DynamoDB takes.
    """

    stage: Stage
    pass_type: str | None = None
    template: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None

    @property
    def table_name(self) -> str:
        return self.stage.table("passes")


@dataclass(slots=True)
class _Batch:
    """Rows that are settled together: items to write, how many were there already, and lines for the reject file."""

    first: int = 0
    last: int = 0
    position: int = 0
    items: dict[str, tuple[Row, dict[str, Any]]] = field(default_factory=dict)
    there: int = 0
    rejected: list[tuple[Row, str]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.first = self.first or row.number
        self.last, self.position = row.number, row.position


def import_passes(
    file: RowFile,
    plan: Plan,
    templates: Templates,
    *,
    on_rows: Callable[[Progress], object],
    on_progress: Callable[[str], object],
) -> Imported:
    """Write a file's rows as pass items: each replaces the item that was there, as any pipeline's PutItem does.

    Args:
        file: whose rows.
        plan: what they become.
        templates: the stage's.
        on_rows: takes the progress after each request.
        on_progress: takes a line about resuming.

    Raises:
        ColumnsError: the columns cannot make passes; nothing was written.
        ImportRunsError: the same import runs already.
        ImportStoppedError: DynamoDB or the network went away.
    """
    columns = Columns(
        mapping=plan.mapping,
        pass_type=plan.pass_type,
        template=plan.template,
        templates=templates,
        cells=file.cells,
        image_key=ImageUploads(plan.stage, file.path.parent).key_of
        if "TemplatesBucketName" in plan.stage.outputs
        else None,
    )
    columns.take(file.columns)
    revision = columns.template.revision if columns.template else None
    meaning = [file.digest, plan.table_name, plan.pass_type, plan.template, revision, sorted(plan.mapping.items())]
    key = hashlib.sha256(json.dumps(meaning).encode()).hexdigest()
    with Journal(file.path.with_name(f"{file.path.name}.{plan.stage.name}.progress"), key) as journal:
        if journal.of_another:
            on_progress(
                "the file, the mapping or the template is not what an earlier import broke off with: from the first row"
            )
        elif journal.rows:
            on_progress(f"going on after {journal.rows:,} rows that an earlier run settled")
        rejects = file.path.with_name(f"{file.path.stem}.rejected{file.rejects_suffix}")
        return _Import(file, plan, columns, journal, rejects, on_rows).run()


class _Import:
    """One run."""

    def __init__(
        self,
        file: RowFile,
        plan: Plan,
        columns: Columns,
        journal: Journal,
        rejects: Path,
        on_rows: Callable[[Progress], object],
    ) -> None:
        self._file, self._plan, self._columns, self._journal = file, plan, columns, journal
        self._rejects_path, self._on_rows = rejects, on_rows
        self._rejects: BinaryIO | None = None
        self._skipped = 0
        self._there = 0
        self._in_doubt = MAX_ROWS_IN_DOUBT if journal.resumed else 0
        self._stop = threading.Event()
        config = Config(
            max_pool_connections=REQUESTS_AT_ONCE,
            connect_timeout=5,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 4},
            parameter_validation=False,  # we made the items; looking at each value again takes longer than to send it
        )
        self._client = aws.client("dynamodb", config=config)
        pace = plan.rate or float("inf")
        self._rows_per_request = int(min(max(pace, 1), ROWS_PER_REQUEST))
        self._pace = Pace(pace)

    def run(self) -> Imported:
        started = time.monotonic()
        before = self._journal.written
        self._open_rejects()
        under_way: dict[Future[list[tuple[Row, str]]], _Batch] = {}
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            try:
                for batch in self._batches():
                    self._leave_out_what_is_there(batch)
                    while (
                        len(under_way) >= REQUESTS_AT_ONCE
                        or _meets(batch, under_way.values())
                        or any(future.done() for future in under_way)
                    ):
                        self._settle_some(under_way)
                    if not batch.items:
                        self._settle(batch, [])
                        continue
                    self._pace.wait(len(batch.items))
                    under_way[pool.submit(self._write, list(batch.items.values()))] = batch
                while under_way:
                    self._settle_some(under_way)
            except BaseException:
                self._stop.set()
                self._cut_rejects()
                self._settle_what_ended_well(under_way)
                raise
            finally:
                if self._rejects is not None:
                    self._rejects.close()
        self._journal.remove()
        return Imported(
            written=self._journal.written - before - self._there,
            skipped=self._skipped + self._there,
            rejected=self._journal.rejected,
            seconds=time.monotonic() - started,
            rejects=self._rejects_path if self._journal.rejected else None,
        )

    def _batches(self) -> Iterator[_Batch]:
        batch = _Batch()
        for row in self._file.rows():
            if self._journal.settled(row.number):
                self._skipped += 1
                continue
            item, reason = self._item(row)
            if item is None:
                batch.rejected.append((row, reason))
            else:
                if item["pass_id"] in batch.items:  # BatchWriteItem refuses two writes of one item
                    yield batch
                    batch = _Batch()
                batch.items[item["pass_id"]] = (row, item)
            batch.add(row)
            if len(batch.items) == self._rows_per_request or batch.last - batch.first >= MAX_ROWS_OF_BATCH:
                yield batch
                batch = _Batch()
        if batch.first:
            yield batch

    def _item(self, row: Row) -> tuple[dict[str, Any] | None, str]:
        """A row's item in DynamoDB's form under its pass_id, or why it cannot be one."""
        if row.problem:
            return None, row.problem
        try:
            item = self._columns.item(row.values)
            return {"pass_id": item["pass_id"], "Item": to_dynamodb(item)["M"]}, ""
        except RefusedError as error:
            return None, str(error)
        except (TypeError, ArithmeticError) as error:
            return None, f"holds a value that DynamoDB cannot: {error}"

    def _leave_out_what_is_there(self, batch: _Batch) -> None:
        """Drop from the first rows of a run that goes on what the run before had written without noting it.

        Raises:
            ImportStoppedError: they could not be read.
        """
        if self._in_doubt <= 0 or not batch.items:
            return
        self._in_doubt -= len(batch.items)
        table = self._plan.table_name
        keys = [{"pass_id": item["Item"]["pass_id"]} for _, item in batch.items.values()]
        try:
            answer = self._client.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        except (BotoCoreError, ClientError) as error:
            raise ImportStoppedError(self._stopped(error)) from error
        for found in answer["Responses"].get(table, []):
            pass_id = found["pass_id"]["S"]
            if plain_item(found) == plain_item(batch.items[pass_id][1]["Item"]):
                del batch.items[pass_id]
                batch.there += 1
                self._there += 1

    def _write(self, rows: Sequence[tuple[Row, dict[str, Any]]]) -> list[tuple[Row, str]]:
        """Write rows with one request, and again what DynamoDB left; those that it refuses, with its reason."""
        requests = [{"PutRequest": {"Item": item["Item"]}} for _, item in rows]
        attempt = 0
        while requests:
            try:
                answer = self._client.batch_write_item(RequestItems={self._plan.table_name: requests})
                left = answer.get("UnprocessedItems", {}).get(self._plan.table_name, [])
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ValidationException" and len(rows) > 1:  # of one row; it took none of them
                    return [refusal for row in rows for refusal in self._write([row])]
                if code == "ValidationException":
                    return [(rows[0][0], f"DynamoDB: {error.response['Error']['Message']}")]
                if code not in THROTTLED:
                    raise
                left = requests
            attempt = attempt + 1 if len(left) == len(requests) else 0
            if attempt == MAX_ATTEMPTS:
                raise ImportStoppedError(f"DynamoDB takes no more writes into {self._plan.table_name} at the moment")
            requests = left
            if requests and self._stop.wait(backoff_seconds(attempt)):
                raise ImportStoppedError("another request failed")
        return []

    def _settle_some(self, under_way: dict[Future[list[tuple[Row, str]]], _Batch]) -> None:
        """Wait until one request has ended, and note those that have.

        Raises:
            ImportStoppedError: one failed; it is under way no more.
        """
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            batch = under_way.pop(future)
            try:
                refused = future.result()
            except (BotoCoreError, ClientError, ImportStoppedError) as error:
                raise ImportStoppedError(self._stopped(error)) from error
            self._settle(batch, refused)

    def _settle_what_ended_well(self, under_way: dict[Future[list[tuple[Row, str]]], _Batch]) -> None:
        wait(under_way)
        for future, batch in under_way.items():
            if future.exception() is None:
                self._settle(batch, future.result())

    def _settle(self, batch: _Batch, refused: list[tuple[Row, str]]) -> None:
        """First the rows in the reject file, then the note that they are there: in between, they are cut off again."""
        rejected = batch.rejected + refused
        for row, reason in sorted(rejected, key=lambda of: of[0].number):
            self._reject(self._file.rejected(row, reason, token_columns=self._columns.token_columns))
        size = 0
        if self._rejects is not None:
            self._rejects.flush()
            size = self._rejects.tell()
        written = batch.there + len(batch.items) - len(refused)
        self._journal.note(Settled(batch.first, batch.last, written, len(rejected), size))
        self._on_rows(Progress(batch.position, self._journal.written, self._journal.rejected))

    def _open_rejects(self) -> None:
        """The reject file as the journal knows it; none before the first refused row."""
        if not self._journal.rejects_size:
            self._rejects_path.unlink(missing_ok=True)
            return
        self._rejects = open_private(self._rejects_path, "ab")
        self._cut_rejects()

    def _cut_rejects(self) -> None:
        """Take from the reject file what is not noted to be there: it was being written when the run ended."""
        if self._rejects is not None:
            self._rejects.flush()
            self._rejects.truncate(self._journal.rejects_size)

    def _reject(self, text: str) -> None:
        if self._rejects is None:
            self._rejects = open_private(self._rejects_path, "ab")
            self._rejects.write(self._file.rejects_header().encode())
        self._rejects.write(text.encode())

    def _stopped(self, error: Exception) -> str:
        reason = explain(error) if isinstance(error, BotoCoreError | ClientError) else str(error)
        return (
            f"{self._journal.rows:,} rows of {self._file.path} are settled, none by half; "
            f"repeat the command to go on from there. What stopped it: {reason}"
        )


def backoff_seconds(attempt: int) -> float:
    """How long to wait before another try: anything up to a bound that doubles each time (full jitter)."""
    return random.uniform(0, min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempt))  # noqa: S311 - no secret


def _meets(batch: _Batch, others: Iterable[_Batch]) -> bool:
    """Whether another batch holds a pass of this one."""
    return any(not batch.items.keys().isdisjoint(other.items) for other in others)
