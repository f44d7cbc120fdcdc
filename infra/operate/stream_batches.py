"""Processes stream batches that Lambda gave up: reads them from the stream again, and invokes their function."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

from chalicelib.core.errors import PasswireError
from infra.stage import aws

READ_SECONDS = 30.0
RECORDS_PER_INVOCATION = 100
BYTES_PER_INVOCATION = 5_000_000
"""Lambda accepts a payload of 6 MB (AWS, "Lambda quotas"); a function processes 100 records in its timeout."""


class StreamBatchError(PasswireError):
    """A stream batch was not processed; the message says why."""


def process_batch(body: str, *, function: str, remedy: str) -> None:
    """Read a batch that Lambda gave up from the stream, and invoke its function with it in chunks.

    The message contains the position of the batch, not its records (AWS, "Retaining discarded batches"). The range
    may contain more records than the batch: those that were processed concurrently (ParallelizationFactor).

    Args:
        body: the message.
        function: name of the function.
        remedy: what to do about a batch that is no longer in the stream.

    Raises:
        StreamBatchError: the message is not Lambda's, the batch has left the stream, or the function failed again.
    """
    try:
        batch = json.loads(body)["DDBStreamBatchInfo"]
        position = {name: batch[name] for name in ("streamArn", "shardId", "startSequenceNumber")}
    except (ValueError, KeyError, TypeError):
        raise StreamBatchError("a message that Lambda did not write") from None
    records = _records(
        position["streamArn"],
        position["shardId"],
        position["startSequenceNumber"],
        str(batch.get("endSequenceNumber", position["startSequenceNumber"])),
        remedy=remedy,
    )
    for chunk in in_invocations(records):
        answer = aws.client("lambda").invoke(FunctionName=function, Payload=_event(chunk).encode())
        if answer.get("FunctionError") or json.loads(answer["Payload"].read()).get("batchItemFailures"):
            raise StreamBatchError("a stream batch on which its function failed again: see `logs`")


def _records(stream: str, shard: str, first: str, last: str, *, remedy: str) -> list[dict[str, Any]]:
    streams = aws.client("dynamodbstreams")
    try:
        iterator = streams.get_shard_iterator(
            StreamArn=stream, ShardId=shard, ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber=first
        )["ShardIterator"]
    except (streams.exceptions.TrimmedDataAccessException, streams.exceptions.ResourceNotFoundException):
        raise StreamBatchError(f"a stream batch older than the 24 hours that the stream keeps: {remedy}") from None
    found: list[dict[str, Any]] = []
    until = monotonic() + READ_SECONDS
    while iterator and monotonic() < until:
        page = streams.get_records(ShardIterator=iterator)
        for record in page["Records"]:
            found.append(_as_lambda_record(record))
            if int(record["dynamodb"]["SequenceNumber"]) >= int(last):
                return found
        iterator = page.get("NextShardIterator")  # a page may be empty before the end: AWS, "GetRecords"
    raise StreamBatchError("a stream batch that could not be read completely: try again")


def in_invocations(records: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Split records into chunks for one invocation each, in order: at most 100 records and 5 MB.

    A single record is never larger: an item has at most 400 KB, and a record contains two images of it.
    """
    chunk: list[Mapping[str, Any]] = []
    size = 0
    for record in records:
        length = len(json.dumps(record).encode()) + 2  # with the separator
        if chunk and (len(chunk) == RECORDS_PER_INVOCATION or size + length > BYTES_PER_INVOCATION):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += length
    if chunk:
        yield chunk


def _event(records: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Records": list(records)})


def _as_lambda_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a record of the stream's API to that of a Lambda event: times as numbers, bytes as base64."""

    def plain(value: object) -> object:
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, bytes):
            return base64.b64encode(value).decode()
        raise StreamBatchError(f"a stream record contains a {type(value).__name__}")

    return dict(json.loads(json.dumps({**record, "eventSource": "aws:dynamodb"}, default=plain)))
