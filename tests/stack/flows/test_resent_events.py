"""Events that are sent again: from the event failure queue, and from the archive."""

import json
import secrets
import time

import boto3
from typer.testing import CliRunner, Result

from chalicelib.aws.queue import Queue
from chalicelib.core.identifiers import PassId
from chalicelib.updates.events import new_event, pass_fields
from infra.commands import app
from infra.local.run import LocalRun
from infra.stage.stage import Stage
from tests.support.subscriber import Subscriber


def events(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["events", *arguments])


def test_kept_events_are_redriven_and_archived_ones_replayed(stack: LocalRun, subscriber: Subscriber) -> None:
    """Three events that the bus refused, one that it would refuse again, and a message of another sender."""
    begin = time.time() - 1
    passes = [PassId(stack.pass_type_identifier, secrets.token_hex(8)) for _ in range(3)]
    kept = [
        new_event("pass.updated", at=time.time(), identity=(str(p),), detail={**pass_fields(p, "t"), "devices": 1})
        for p in passes
    ]
    url = stack.queues["event_failure"]
    sqs = boto3.client("sqs")
    Queue(push_queue_url="", dead_letter_queue_url="", event_failure_queue_url=url, client=sqs).keep_events(
        kept, error="ResourceNotFoundException"
    )
    sqs.send_message(QueueUrl=url, MessageBody="foreign")
    done = events("redrive", "--stage", stack.stage, "--json")
    assert done.exit_code == 1, "a message is left"
    assert json.loads(done.stdout) == {"events": 3, "batches": 0, "kept": {"a message that Lambda did not write": 1}}
    (left,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2, MaxNumberOfMessages=10)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=left["ReceiptHandle"])
    ids = {p: subscriber.about(p, 1)[0]["id"] for p in passes}
    assert ids == {p: event.detail["id"] for p, event in zip(passes, kept, strict=True)}

    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begin))
    refused = events("replay", "--stage", stack.stage, "--since", since)
    assert (refused.exit_code, "--yes" in refused.output) == (2, True)
    replayed = events("replay", "--stage", stack.stage, "--since", since, "--rule", subscriber.name, "--yes", "--json")
    assert replayed.exit_code == 0, replayed.output
    name = json.loads(replayed.stdout)["replay"]
    for pass_id in passes:
        first, again = subscriber.about(pass_id, 2)
        assert first == again
    assert subscriber.replays() == {name}
    (replay,) = boto3.client("events").list_replays(NamePrefix=name)["Replays"]
    assert replay["State"] == "COMPLETED"


def test_archive_keeps_events_for_thirty_days(stack: LocalRun) -> None:
    archive = boto3.client("events").describe_archive(ArchiveName=Stage.open(stack.stage).output("EventArchiveName"))
    assert (archive["RetentionDays"], json.loads(archive["EventPattern"])) == (30, {"source": ["passwire"]})
