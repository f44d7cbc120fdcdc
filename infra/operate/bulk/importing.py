"""Imports passes from a file: reads and validates each row, writes items with BatchWriteItem, and keeps a journal.

Requests contain up to 25 rows, and several are sent concurrently. A request with a pass that an unfinished request also
contains waits for it, so that rows are written as if one after the other: of two rows for one pass, the later wins.
The journal (`journal.py`) records the rows of each finished request, so that an interrupted import can be resumed. The
result of the requests that were unfinished at the interruption, at most `MAX_ROWS_IN_DOUBT` rows, is unknown: a resumed
import reads these rows first, and does not write items that are in the table already.
"""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.templates import Templates
from chalicelib.core.attributes import plain_item
from chalicelib.core.errors import TransientError
from infra.operate.bulk.cells import to_dynamodb
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.files.base import Row, RowFile
from infra.operate.bulk.journal import Journal, Settled
from infra.operate.bulk.plan import ImportPlan, ImportProgress, columns_of, item_of
from infra.operate.bulk.rejects import RejectFile
from infra.operate.pace import RateLimit
from infra.stage import aws
from infra.stage.aws import explain

ROWS_PER_REQUEST = 25
"""AWS, "BatchWriteItem"."""
REQUESTS_AT_ONCE = 8
MAX_ROWS_IN_DOUBT = ROWS_PER_REQUEST * REQUESTS_AT_ONCE
MAX_ROWS_OF_BATCH = 500
"""Rows that are recorded together, including refused ones."""
FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 10.0
MAX_ATTEMPTS = 12
"""Consecutive attempts of which none writes a row, over at least half a minute, after which an import stops."""
THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded")


class ImportStoppedError(TransientError):
    """An import stopped; its progress is recorded, and the same command resumes it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of an import.

    Args:
        written: number of rows that this run wrote.
        skipped: number of rows that an interrupted run had written or refused.
        rejected: number of rows that were refused, by this run or an interrupted run.
        seconds: duration of this run.
        rejects: file with the refused rows; None if no row was refused.
    """

    written: int
    skipped: int
    rejected: int
    seconds: float
    rejects: Path | None

    @property
    def rows_per_second(self) -> float:
        return self.written / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class _RowBatch:
    """Rows that are recorded together: items to write, the number already written, and refused rows."""

    first: int = 0
    last: int = 0
    position: int = 0
    items: dict[str, tuple[Row, dict[str, Any]]] = field(default_factory=dict)
    already_written: int = 0
    rejected: list[tuple[Row, str]] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.first = self.first or row.number
        self.last, self.position = row.number, row.position


def import_passes(
    file: RowFile,
    plan: ImportPlan,
    templates: Templates,
    *,
    on_rows: Callable[[ImportProgress], object],
    on_progress: Callable[[str], object],
) -> Imported:
    """Write a file's rows as pass items; each replaces an existing item, as any pipeline's PutItem does.

    Args:
        file: the rows.
        plan: options.
        templates: templates of the stage.
        on_rows: called with the progress after each request.
        on_progress: called with a line of text when an import is resumed or starts again.

    Raises:
        ColumnsError: the columns cannot become passes; nothing was written.
        ImportRunsError: another process imports the same file.
        ImportStoppedError: DynamoDB or the network is unavailable.
    """
    columns = columns_of(file, plan, templates)
    revision = columns.template.revision if columns.template else None
    meaning = [file.digest, plan.table_name, plan.pass_type, plan.template, revision, sorted(plan.mapping.items())]
    key = hashlib.sha256(json.dumps(meaning).encode()).hexdigest()
    beside = plan.side_files or file.path
    with Journal(beside.with_name(f"{beside.name}.{plan.stage.name}.progress"), key) as journal:
        if journal.replaced:
            on_progress(
                "starting with the first row: the file, the mapping or the template has changed since the interrupted "
                "import"
            )
        elif journal.rows:
            on_progress(f"resuming after {journal.rows:,} rows of an interrupted import")
        rejects = RejectFile(
            beside.with_name(f"{beside.stem}.rejected{file.rejects_suffix}"),
            header=file.rejects_header(),
            recorded_bytes=journal.rejects_size,
        )
        with rejects:
            return _Import(file, plan, columns, journal, rejects, on_rows).run()


class _Import:
    """One run of an import."""

    def __init__(
        self,
        file: RowFile,
        plan: ImportPlan,
        columns: Columns,
        journal: Journal,
        rejects: RejectFile,
        on_rows: Callable[[ImportProgress], object],
    ) -> None:
        self._file, self._plan, self._columns, self._journal = file, plan, columns, journal
        self._rejects, self._on_rows = rejects, on_rows
        self._skipped = 0
        self._already_written = 0
        self._in_doubt = MAX_ROWS_IN_DOUBT if journal.resumed else 0
        self._stop = threading.Event()
        config = Config(
            max_pool_connections=REQUESTS_AT_ONCE,
            connect_timeout=5,
            read_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 4},
            parameter_validation=False,  # the items are valid; botocore's validation takes longer than the request
        )
        self._client = aws.client("dynamodb", config=config)
        pace = plan.rate or float("inf")
        self._rows_per_request = int(min(max(pace, 1), ROWS_PER_REQUEST))
        self._pace = RateLimit(pace)

    def run(self) -> Imported:
        started = time.monotonic()
        before = self._journal.written
        unfinished: dict[Future[list[tuple[Row, str]]], _RowBatch] = {}
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            try:
                for batch in self._batches():
                    self._skip_written_items(batch)
                    while (
                        len(unfinished) >= REQUESTS_AT_ONCE
                        or _overlaps(batch, unfinished.values())
                        or any(future.done() for future in unfinished)
                    ):
                        self._record_finished(unfinished)
                    if not batch.items:
                        self._record(batch, [])
                        continue
                    self._pace.wait(len(batch.items))
                    unfinished[pool.submit(self._write, list(batch.items.values()))] = batch
                while unfinished:
                    self._record_finished(unfinished)
            except BaseException:
                self._stop.set()
                self._rejects.truncate(self._journal.rejects_size)
                self._record_successful(unfinished)
                raise
        self._journal.remove()
        return Imported(
            written=self._journal.written - before - self._already_written,
            skipped=self._skipped + self._already_written,
            rejected=self._journal.rejected,
            seconds=time.monotonic() - started,
            rejects=self._rejects.path if self._journal.rejected else None,
        )

    def _batches(self) -> Iterator[_RowBatch]:
        batch = _RowBatch()
        for row in self._file.rows():
            if self._journal.is_settled(row.number):
                self._skipped += 1
                continue
            item, reason = self._item(row)
            if item is None:
                batch.rejected.append((row, reason))
            else:
                if item["pass_id"] in batch.items:  # BatchWriteItem refuses two writes of one item
                    yield batch
                    batch = _RowBatch()
                batch.items[item["pass_id"]] = (row, item)
            batch.add(row)
            if len(batch.items) == self._rows_per_request or batch.last - batch.first >= MAX_ROWS_OF_BATCH:
                yield batch
                batch = _RowBatch()
        if batch.first:
            yield batch

    def _item(self, row: Row) -> tuple[dict[str, Any] | None, str]:
        """Return a row's `pass_id` and item in DynamoDB's JSON, or None and the reason why the row is refused."""
        item, reason = item_of(row, self._columns)
        if item is None:
            return None, reason
        try:
            return {"pass_id": item["pass_id"], "Item": to_dynamodb(item)["M"]}, ""
        except (TypeError, ArithmeticError) as error:
            return None, f"has a value that DynamoDB cannot store: {error}"

    def _skip_written_items(self, batch: _RowBatch) -> None:
        """Remove items that the interrupted run wrote without recording it, from the first batches of a resumed run.

        Raises:
            ImportStoppedError: the table could not be read.
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
                batch.already_written += 1
                self._already_written += 1

    def _write(self, rows: Sequence[tuple[Row, dict[str, Any]]]) -> list[tuple[Row, str]]:
        """Write rows with one request, and repeat it for unprocessed rows; return refused rows with the reason."""
        requests = [{"PutRequest": {"Item": item["Item"]}} for _, item in rows]
        attempt = 0
        while requests:
            try:
                answer = self._client.batch_write_item(RequestItems={self._plan.table_name: requests})
                left = answer.get("UnprocessedItems", {}).get(self._plan.table_name, [])
            except ClientError as error:
                code = aws.error_code(error)
                if code == "ValidationException" and len(rows) > 1:  # one row is invalid, and none was written
                    return [refusal for row in rows for refusal in self._write([row])]
                if code == "ValidationException":
                    return [(rows[0][0], f"DynamoDB: {error.response['Error']['Message']}")]
                if code not in THROTTLED:
                    raise
                left = requests
            attempt = attempt + 1 if len(left) == len(requests) else 0
            if attempt == MAX_ATTEMPTS:
                raise ImportStoppedError(f"DynamoDB throttles all writes to {self._plan.table_name}")
            requests = left
            if requests and self._stop.wait(backoff_seconds(attempt)):
                raise ImportStoppedError("another request failed")
        return []

    def _record_finished(self, unfinished: dict[Future[list[tuple[Row, str]]], _RowBatch]) -> None:
        """Wait until a request has finished; remove and record those that have.

        Raises:
            ImportStoppedError: a request failed.
        """
        for future in wait(unfinished, return_when=FIRST_COMPLETED).done:
            batch = unfinished.pop(future)
            try:
                refused = future.result()
            except (BotoCoreError, ClientError, ImportStoppedError) as error:
                raise ImportStoppedError(self._stopped(error)) from error
            self._record(batch, refused)

    def _record_successful(self, unfinished: dict[Future[list[tuple[Row, str]]], _RowBatch]) -> None:
        wait(unfinished)
        for future, batch in unfinished.items():
            if future.exception() is None:
                self._record(batch, future.result())

    def _record(self, batch: _RowBatch, refused: list[tuple[Row, str]]) -> None:
        """Write refused rows to the reject file, then record them: unrecorded rows are truncated by the next run."""
        rejected = batch.rejected + refused
        for row, reason in sorted(rejected, key=lambda entry: entry[0].number):
            self._rejects.add(self._file.rejected(row, reason, token_columns=self._columns.token_columns))
        written = batch.already_written + len(batch.items) - len(refused)
        self._journal.record(Settled(batch.first, batch.last, written, len(rejected), self._rejects.size()))
        self._on_rows(ImportProgress(batch.position, self._journal.written, self._journal.rejected))

    def _stopped(self, error: Exception) -> str:
        reason = explain(error) if isinstance(error, BotoCoreError | ClientError) else str(error)
        return (
            f"the import stopped after {self._journal.rows:,} rows of {self._file.path}: {reason}; "
            "run the same command again to resume it"
        )


def backoff_seconds(attempt: int) -> float:
    """Return a random delay in seconds, up to a bound that doubles with each attempt (full jitter)."""
    return random.uniform(0, min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempt))  # noqa: S311 - no secret


def _overlaps(batch: _RowBatch, others: Iterable[_RowBatch]) -> bool:
    """Return True if another batch contains a pass of this one."""
    return any(not batch.items.keys().isdisjoint(other.items) for other in others)
