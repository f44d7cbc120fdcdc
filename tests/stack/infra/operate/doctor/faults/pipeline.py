"""Faults between a written item and its pushes: tables, triggers, queues, events, functions and templates."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3

from infra.local.run import PASS_TYPE_IDENTIFIER
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage.stage import Stage
from tests.stack.infra.operate.doctor.deployment import Deployment, Fault, item, refused_item, variables, with_, without
from tests.support import samples
from tests.support.eventually import eventually


@contextmanager
def stopped_by_recursion_detection(deployment: Deployment) -> Iterator[None]:
    client, name = boto3.client("lambda"), deployment.stage.functions["push_worker"]
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Terminate")
    try:
        yield
    finally:
        client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")


@contextmanager
def miscount(deployment: Deployment) -> Iterator[None]:
    """Count a holder of a pass that no device holds."""
    counts = boto3.resource("dynamodb").Table(deployment.stage.tables["counts"])
    pass_id = f"{PASS_TYPE_IDENTIFIER}/{secrets.token_hex(4)}"
    counts.put_item(Item={"id": pass_id, "holders": 1})
    with item(deployment, pass_id=pass_id):
        yield
    counts.delete_item(Key={"id": pass_id})


@contextmanager
def wrong_total(deployment: Deployment) -> Iterator[None]:
    """Count a holder of a template whose passes no device holds."""
    counts = boto3.resource("dynamodb").Table(deployment.stage.tables["counts"])
    counts.put_item(Item={"id": f"{PASS_TYPE_IDENTIFIER}/held", "holders": 2, "template": "other"})
    counts.put_item(Item={"id": f"total:{PASS_TYPE_IDENTIFIER}/other", "holders": 3})
    yield
    for key in (f"{PASS_TYPE_IDENTIFIER}/held", f"total:{PASS_TYPE_IDENTIFIER}/other"):
        counts.delete_item(Key={"id": key})


@contextmanager
def missing_bus(deployment: Deployment) -> Iterator[None]:
    events, name = boto3.client("events"), deployment.stage.output("EventBusName")
    events.delete_event_bus(Name=name)
    try:
        yield
    finally:
        events.create_event_bus(Name=name)


@contextmanager
def message(deployment: Deployment, queue: str) -> Iterator[None]:
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=deployment.stage.queues[queue], MessageBody="{}")
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=deployment.stage.queues[queue])


@contextmanager
def metric(
    deployment: Deployment, namespace: str, name: str, dimension: str, named: Callable[[Deployment], str], value: float
) -> Iterator[None]:
    cloudwatch = boto3.client("cloudwatch")
    data = {"MetricName": name, "Dimensions": [{"Name": dimension, "Value": named(deployment)}]}

    def put(figure: float, at: datetime) -> None:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[{**data, "Value": figure, "Timestamp": at}])

    # Ten minutes ago is within the period that the doctor reads, but not within that of an alarm.
    put(value, datetime.now(UTC) - timedelta(minutes=10))
    yield
    put(0, datetime.now(UTC))


@contextmanager
def table(
    deployment: Deployment, role: str, off: Callable[[Any, str], object], on: Callable[[Any, str], object]
) -> Iterator[None]:
    client, name = boto3.client("dynamodb"), deployment.stage.tables[role]
    off(client, name)
    try:
        yield
    finally:
        on(client, name)


def recovery(*, enabled: bool) -> Callable[[Any, str], object]:
    return lambda client, name: client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled}
    )


def expiry(*, enabled: bool) -> Callable[[Any, str], object]:
    return lambda client, name: client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": enabled, "AttributeName": "delete_after"}
    )


def protection(*, enabled: bool) -> Callable[[Any, str], object]:
    return lambda client, name: client.update_table(TableName=name, DeletionProtectionEnabled=enabled)


@contextmanager
def mapping(deployment: Deployment, role: str, broken: dict[str, Any], whole: dict[str, Any]) -> Iterator[None]:
    client = boto3.client("lambda")
    (found,) = client.list_event_source_mappings(FunctionName=deployment.stage.functions[role])["EventSourceMappings"]

    def update(changes: dict[str, Any]) -> None:
        """Lambda refuses an update while it carries out another."""
        client.update_event_source_mapping(UUID=found["UUID"], **changes)
        settled = ("Enabled", "Disabled")
        eventually(lambda: client.get_event_source_mapping(UUID=found["UUID"])["State"] in settled, "the update")

    update(broken)
    try:
        yield
    finally:
        update(whole)


@contextmanager
def output(deployment: Deployment, **outputs: Callable[[Stage], str]) -> Iterator[None]:
    """Replace outputs of the stage that the doctor sees."""
    changed = {**deployment.stage.outputs, **{name: value(deployment.stage) for name, value in outputs.items()}}
    deployment.seen_stage = replace(deployment.stage, outputs=changed)
    yield


@contextmanager
def pushed_template(deployment: Deployment) -> Iterator[None]:
    """Push a template without checking it."""
    name = f"t-{secrets.token_hex(4)}"
    files = samples.files_of("generic")
    files["icon.png"] = b"GIF89a"
    TemplatesBucket(deployment.stage).push(name, files, on_progress=lambda _: None)
    try:
        yield
    finally:
        for key in boto3.client("s3").list_objects_v2(
            Bucket=deployment.stage.templates_bucket, Prefix=f"templates/{name}/"
        )["Contents"]:
            boto3.client("s3").delete_object(Bucket=deployment.stage.templates_bucket, Key=key["Key"])


FAULTS: dict[str, Fault] = {
    "no recovery": (
        "tables",
        partial(table, role="devices", off=recovery(enabled=False), on=recovery(enabled=True)),
        "table passwire-second-devices: has no point-in-time recovery",
    ),
    "no expiry": (
        "tables",
        partial(table, role="passes", off=expiry(enabled=False), on=expiry(enabled=True)),
        "does not delete expired items",
    ),
    "no protection": (
        "tables",
        partial(table, role="versions", off=protection(enabled=False), on=protection(enabled=True)),
        "table passwire-second-versions: has no deletion protection",
    ),
    "no table": ("tables", partial(output, DevicesTableName=lambda _: "nowhere"), "table nowhere: is missing"),
    "no stream": (
        "tables",
        partial(output, PassesTableName=lambda stack: stack.tables["devices"]),
        "its stream is off, not NEW_AND_OLD_IMAGES",
    ),
    "a mapping that is off": (
        "mappings",
        partial(mapping, role="push", broken={"Enabled": False}, whole={"Enabled": True}),
        "function push: is not invoked, its event source mapping is Disabled",
    ),
    "another number of readers": (
        "mappings",
        partial(mapping, role="push", broken={"ParallelizationFactor": 1}, whole={"ParallelizationFactor": 4}),
        "has ParallelizationFactor 1, not 4",
    ),
    "no partial batch responses": (
        "mappings",
        partial(
            mapping,
            role="push_worker",
            broken={"FunctionResponseTypes": []},
            whole={"FunctionResponseTypes": ["ReportBatchItemFailures"]},
        ),
        "has FunctionResponseTypes [], not",
    ),
    "no mapping": (
        "mappings",
        partial(output, PushFunctionName=lambda stack: stack.functions["api"]),
        "function push: its event source mapping",
    ),
    "the stream of a deleted table": (
        "mappings",
        partial(output, PassesTableName=lambda stack: stack.tables["versions"]),
        "which is no longer written to",
    ),
    "an old iterator": (
        "lag",
        partial(
            metric,
            namespace="AWS/Lambda",
            name="IteratorAge",
            dimension="FunctionName",
            named=lambda deployment: deployment.stage.functions["push"],
            value=120_000,
        ),
        "changes wait for 120 s",
    ),
    "an old push": (
        "lag",
        partial(
            metric,
            namespace="AWS/SQS",
            name="ApproximateAgeOfOldestMessage",
            dimension="QueueName",
            named=lambda deployment: deployment.stage.queues["push"].rpartition("/")[2],
            value=7200,
        ),
        "pushes have waited for 2.0 hours",
    ),
    "a batch that was given up": (
        "lag",
        partial(message, queue="stream_failure"),
        "batches of changes that were given up: 1",
    ),
    "held removals": (
        "lag",
        partial(message, queue="held_removals"),
        "removals of devices that are held: 1 messages",
    ),
    "undelivered events": (
        "lag",
        partial(message, queue="event_failure"),
        "events about phones that the event bus did not accept: 1 messages",
    ),
    "a wrong count": ("events", miscount, "its count of holders is not the number of its registrations"),
    "a wrong total": ("events", wrong_total, "template other: its total is 3 holders, but its passes have 2"),
    "a deleted bus": ("events", missing_bus, "event bus passwire-second: is missing"),
    "a dead letter": (
        "lag",
        partial(message, queue="dead_letter"),
        "invalid pass items or given-up pushes in the dead-letter queue: 1",
    ),
    "a variable that is missing": (
        "functions",
        partial(variables, role="push_worker", change=without("PASSWIRE_PUSH_QUEUE_URL")),
        "function push_worker: its environment lacks PASSWIRE_PUSH_QUEUE_URL",
    ),
    "a window that is too short": (
        "functions",
        partial(variables, role="api", change=with_("PASSWIRE_PUSH_TIMEOUT_SECONDS", "5")),
        "function api: assumes that a push ends within 5 s",
    ),
    "another stage's table": (
        "functions",
        partial(variables, role="push", change=with_("PASSWIRE_DEVICES_TABLE", "passwire-local-devices")),
        "uses passwire-local-devices as its devices table",
    ),
    "recursion detection of the push worker": (
        "functions",
        stopped_by_recursion_detection,
        "recursion detection stops it after about 16 rounds",
    ),
    "a template that was never pushed": (
        "templates",
        partial(refused_item, template="nowhere"),
        "template nowhere: passes use it, but it does not exist",
    ),
    "a template that phones refuse": ("templates", pushed_template, "icon.png: is not a PNG"),
}
