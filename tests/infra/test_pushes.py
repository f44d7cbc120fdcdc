"""What an operator does with pushes, on the deployed stack."""

import json
import secrets
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.domain.orders import WakeDevices, encode
from infra.local.phone import Phone
from infra.local.stack import LocalStack
from infra.pushes import in_pieces
from tests.conftest import Issuer, Pipeline
from tests.end_to_end.eventually import Apns, eventually
from tests.infra.command_line import infra


def status() -> dict[str, Any]:
    done = infra("push", "status", "--stage", "local", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def holder(pipeline: Pipeline, issuer: Issuer, phone: Phone, serial_number: str) -> Phone:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    phone.adds(issuer.issues(pass_id).content)
    return phone


@pytest.fixture
def empty_dead_letters(stack: LocalStack) -> Iterator[None]:
    sqs = boto3.client("sqs")
    for role in ("dead_letter", "stream_failure"):
        sqs.purge_queue(QueueUrl=stack.queues[role])
    yield
    for role in ("dead_letter", "stream_failure"):
        sqs.purge_queue(QueueUrl=stack.queues[role])


@pytest.mark.usefixtures("empty_dead_letters")
def test_a_dead_letter_is_shown_without_its_devices_and_redriven(
    stack: LocalStack, apns: Apns, holder: Phone, pipeline: Pipeline
) -> None:
    order = WakeDevices(
        pipeline.pass_type_identifier, (DeviceLibraryIdentifier(holder.device_library_identifier),), time.time()
    )
    boto3.client("sqs").send_message(QueueUrl=stack.queues["dead_letter"], MessageBody=encode(order))
    shown = status()
    assert shown["queues"]["dead_letter"]["waiting"] == 1
    assert shown["dead_letters"] == {f"pushes of {pipeline.pass_type_identifier} that were given up": 1}
    assert holder.device_library_identifier not in json.dumps(shown)

    done = infra("push", "redrive", "--stage", "local", "--json")
    assert json.loads(done.stdout) == {"orders": 1, "batches": 0, "kept": {}}
    eventually(lambda: apns.pushes_to(holder), "the push of the dead letter")
    assert status()["queues"]["dead_letter"]["waiting"] == 0


@pytest.mark.usefixtures("empty_dead_letters")
def test_a_refused_item_stays_noted_until_it_is_discarded(pipeline: Pipeline, serial_number: str) -> None:
    pass_id = pipeline.writes(serial_number, fields={"no_such_field": "x"})
    (summary,) = eventually(lambda: list(status()["dead_letters"]), "the refusal")
    assert str(pass_id) in summary
    assert "no_such_field" in summary
    assert json.loads(infra("push", "redrive", "--stage", "local", "--json").stdout)["kept"] == {summary: 1}
    infra("push", "redrive", "--stage", "local", "--discard-refused")
    assert status()["dead_letters"] == {}


@pytest.mark.usefixtures("empty_dead_letters")
def test_a_stream_batch_that_was_given_up_is_read_again(
    stack: LocalStack, apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str
) -> None:
    pipeline.writes(serial_number, fields={"gate": "B1"})
    eventually(lambda: len(apns.pushes_to(holder)) == 1, "the push of the change")
    boto3.client("sqs").send_message(
        QueueUrl=stack.queues["stream_failure"], MessageBody=json.dumps({"DDBStreamBatchInfo": newest_record(stack)})
    )
    assert json.loads(infra("push", "redrive", "--stage", "local", "--json").stdout)["batches"] == 1
    eventually(lambda: len(apns.pushes_to(holder)) == 2, "the push of the batch that was read again")


def newest_record(stack: LocalStack) -> dict[str, object]:
    """Where the last write stands in the stream, as Lambda notes a batch that it gives up."""
    streams = boto3.client("dynamodbstreams")
    arn = boto3.client("dynamodb").describe_table(TableName=stack.tables["passes"])["Table"]["LatestStreamArn"]
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    found: list[tuple[int, str, str]] = []
    for shard in shards:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator and (page := streams.get_records(ShardIterator=iterator))["Records"]:
            numbers = [record["dynamodb"]["SequenceNumber"] for record in page["Records"]]
            found += [(int(number), number, shard["ShardId"]) for number in numbers]
            iterator = page.get("NextShardIterator")
    _, number, shard_id = max(found)
    return {"streamArn": arn, "shardId": shard_id, "startSequenceNumber": number, "endSequenceNumber": number}


def test_a_push_by_hand_reaches_every_holder(apns: Apns, holder: Phone, pipeline: Pipeline, serial_number: str) -> None:
    done = infra("push", "send", f"{pipeline.pass_type_identifier}/{serial_number}", "--stage", "local")
    assert done.returncode == 0, done.stderr
    eventually(lambda: apns.pushes_to(holder), "the push by hand")


def test_a_push_to_nobody_says_so(pipeline: Pipeline) -> None:
    pass_id = PassId(pipeline.pass_type_identifier, secrets.token_hex(4))
    done = infra("push", "send", str(pass_id), "--stage", "local")
    assert done.returncode == 1
    assert done.stderr == f"error: pass {pass_id}: no device is registered for it\n"


@given(st.lists(st.integers(min_value=1, max_value=800_000), max_size=260))
def test_a_batch_is_handed_over_in_pieces_that_an_invocation_takes(sizes: list[int]) -> None:
    """The range of a batch that was given up may hold the records of its neighbours, and Lambda takes 6 MB."""
    sizes = [size if number % 20 == 0 else size % 3000 for number, size in enumerate(sizes)]  # few are large
    records = [{"number": number, "image": "x" * size} for number, size in enumerate(sizes)]
    pieces = list(in_pieces(records))
    assert [record for piece in pieces for record in piece] == records
    for piece in pieces:
        assert 0 < len(piece) <= 100
        assert len(json.dumps({"Records": piece}).encode()) < 5_100_000
    for piece, following in pairwise(pieces):
        together = len(json.dumps({"Records": [*piece, following[0]]}).encode())
        assert len(piece) == 100 or together > 5_000_000, "no piece is smaller than it must be"
