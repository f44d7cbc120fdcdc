"""Checks of the path from a pipeline's write to the push: tables, stream, queues, functions and templates."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chalicelib.aws.templates import PACKAGED, SUFFIX, packaged_names
from chalicelib.core.errors import ConfigurationError, RefusedError
from chalicelib.passes.format.findings import Level
from infra.core.program import command
from infra.deploy.monitoring import PUSH_QUEUE_AGE_SECONDS, STREAM_AGE_MILLISECONDS
from infra.deploy.resources import resources
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, fault, warning
from infra.operate.events import wrong_totals
from infra.operate.templates.check import check_template
from infra.operate.templates.folder import read_checked

SETTLE_SECONDS = 3.0
MAX_COUNTED = 5000
"""Registrations of a sampled pass that are counted; a count of more is taken as right."""
MAX_COUNT_ROWS = 20_000
"""Size of the table of counts up to which all totals are compared with it; that takes about 250 read units."""
SETTINGS = (
    "BatchSize",
    "BisectBatchOnFunctionError",
    "FunctionResponseTypes",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "ScalingConfig",
)
"""Settings of an event source mapping that the template may contain and that do not refer to other resources."""


def tables(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the tables exist and are protected, and that the passes table streams its changes."""
    dynamodb = doctor.client("dynamodb")
    for role, name in doctor.stage.tables.items():
        try:
            table = doctor.table(role)
        except dynamodb.exceptions.ResourceNotFoundException:
            yield fault(f"table {name}: is missing", "restore it: docs/guides/backup.md")
            continue
        if table["TableStatus"] not in ("ACTIVE", "UPDATING"):
            yield fault(f"table {name}: its status is {table['TableStatus']}", "look at the table in the AWS console")
        if not table.get("DeletionProtectionEnabled"):
            yield warning(f"table {name}: has no deletion protection", doctor.redeploy)
        backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        if backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") != "ENABLED":
            yield warning(
                f"table {name}: has no point-in-time recovery, so overwritten data is lost",
                f"aws dynamodb update-continuous-backups --table-name {name} "
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
            )
        if role == "passes":
            yield from _passes_table(doctor, name, table)


def mappings(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the stream and the queue invoke their functions, with the settings of the template."""
    stream = doctor.table("passes").get("LatestStreamArn", "(none)")
    registrations = doctor.table("registrations").get("LatestStreamArn", "(none)")
    versions = doctor.table("versions").get("LatestStreamArn", "(none)")
    queue = doctor.stage.queues["push"].rpartition("/")[2]
    current = (stream, registrations, versions)
    for role, source, event in (
        ("push", stream, "PushDynamodbEventSource"),
        ("push_worker", f":{queue}", "PushWorkerSqsEventSource"),
        ("publish_events", registrations, "PublishEventsDynamodbEventSource"),
        ("publish_events", versions, "VersionsDynamodbEventSource"),
    ):
        found = doctor.client("lambda").list_event_source_mappings(FunctionName=doctor.stage.functions[role])
        wanted = resources()["Resources"][role.title().replace("_", "")]["Properties"]["Events"][event]["Properties"]
        mapping = next((m for m in found["EventSourceMappings"] if m["EventSourceArn"].endswith(source)), None)
        if mapping is not None:
            yield from _mapping(doctor, role, mapping, wanted)
        elif old := next((a for m in found["EventSourceMappings"] if (a := m["EventSourceArn"]) not in current), ""):
            yield fault(f"function {role}: reads {old}, which is no longer written to", doctor.redeploy)
        else:
            yield fault(f"function {role}: its event source mapping for {source} is missing", doctor.redeploy)


def lag(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that changes are stamped within a minute, and that none was given up."""
    age = doctor.newest("AWS/Lambda", "IteratorAge", FunctionName=doctor.stage.functions["push"])
    if age is not None and age > STREAM_AGE_MILLISECONDS:
        yield fault(
            f"changes wait for {age / 1000:.0f} s before they are stamped",
            f"read the push function's errors: {doctor.logs_of('push')} (docs/operations/runbook.md#streamage)",
            alarm="StreamAge",
        )
    depths = {role: _depth(doctor, url) for role, url in doctor.stage.queues.items()}
    if depths["stream_failure"]:
        yield fault(
            f"batches of changes that were given up: {depths['stream_failure']}; their devices were not notified",
            f"fix the errors in {doctor.logs_of('push')}, then: {doctor.command('push redrive')}",
            alarm="StreamFailures",
        )
    if depths["event_failure"]:
        yield fault(
            f"events about phones that the event bus did not accept: {depths['event_failure']} messages",
            f"{doctor.command('events redrive')} (docs/operations/runbook.md#eventfailures)",
            alarm="EventFailures",
        )
    if depths["held_removals"]:
        yield fault(
            f"removals of devices that are held: {depths['held_removals']} messages; APNs refused too many at once",
            f"{doctor.command('push removals')} (docs/operations/runbook.md#removalsheld)",
            alarm="RemovalsHeld",
        )
    if depths["dead_letter"]:
        yield fault(
            f"invalid pass items or given-up pushes in the dead-letter queue: {depths['dead_letter']}",
            doctor.command("push status"),
            alarm="DeadLetters",
        )
    queue = doctor.stage.queues["push"].rpartition("/")[2]
    waited = doctor.newest("AWS/SQS", "ApproximateAgeOfOldestMessage", QueueName=queue)
    if waited is not None and waited > PUSH_QUEUE_AGE_SECONDS:
        yield fault(
            f"pushes have waited for {waited / 3600:.1f} hours in the push queue",
            doctor.command("push status"),
            alarm="PushQueueAge",
        )


def event_counts(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the bus exists, and that the counts of some passes equal their registrations."""
    events = doctor.client("events")
    bus = doctor.stage.output("EventBusName")
    try:
        events.describe_event_bus(Name=bus)
    except events.exceptions.ResourceNotFoundException:
        yield fault(f"event bus {bus}: is missing", f"{doctor.redeploy}; then create your rules on it again")
    wrong = {pass_id for pass_id, _ in doctor.sampled_passes if _miscount(doctor, str(pass_id))}
    if wrong:
        time.sleep(SETTLE_SECONDS)  # the stream may deliver a change of the last second
        wrong = {pass_id for pass_id in wrong if _miscount(doctor, str(pass_id))}
    for pass_id in sorted(wrong):
        yield fault(
            f"pass {pass_id}: its count of holders is not the number of its registrations",
            doctor.command("events count"),
        )
    if doctor.table("counts")["ItemCount"] <= MAX_COUNT_ROWS:
        for (kind, template), (total, right) in wrong_totals(doctor.stage).items():
            yield fault(
                f"{kind}, template {template}: its total is {total:,} holders, but its passes have {right:,}",
                doctor.command("events count"),
            )


def functions(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that every function is active, and that its environment is complete and names the stage's resources."""
    names = resources()["Globals"]["Function"]["Environment"]["Variables"].keys()
    timeout = doctor.function("push")["Timeout"]
    for role in doctor.stage.functions:
        function = doctor.function(role)
        if function.get("State") == "Failed":
            yield fault(f"function {role}: does not start: {function.get('StateReason')}", doctor.redeploy)
        if function.get("LastUpdateStatus") == "Failed":
            yield fault(
                f"function {role}: its last update failed: {function.get('LastUpdateStatusReason')}", doctor.redeploy
            )
        missing = sorted(names - function.get("Environment", {}).get("Variables", {}).keys())
        if missing:
            yield fault(f"function {role}: its environment lacks {', '.join(missing)}", doctor.redeploy)
        if role == "push_worker" and _recursive_loop(doctor, role) != "Allow":
            yield fault(
                f"function {role}: Lambda's recursion detection stops it after about 16 rounds through its own queue, "
                "and moves deferred pushes to the dead-letter queue",
                f"aws lambda put-function-recursion-config --function-name {doctor.stage.functions[role]} "
                "--recursive-loop Allow, or `finish` (or `deploy`) again",
            )
        try:
            settings = doctor.settings(role)
        except ConfigurationError as error:
            yield fault(f"function {role}: {error}", doctor.redeploy)
            continue
        for table, name in doctor.stage.tables.items():
            if (used := getattr(settings, f"{table}_table")) != name:
                yield fault(f"function {role}: uses {used} as its {table} table, not {name}", doctor.redeploy)
        if settings.push_timeout_seconds < timeout:
            yield fault(
                f"function {role}: assumes that a push ends within {settings.push_timeout_seconds} s, but the push "
                f"function may run for {timeout} s: updates can be lost",
                f"set lambda_timeout of push in .chalice/config.json, which both come from, then: {doctor.redeploy}",
            )


def templates(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check every template that is pushed or that passes use."""
    pushed = {template.name for template in doctor.templates.list()}
    used = {str(item["template"]["S"]) for item in doctor.sample if "S" in item.get("template", {})}
    for name in sorted(used - pushed - set(packaged_names())):
        yield fault(
            f"template {name}: passes use it, but it does not exist",
            doctor.command("template push", f"{name}{SUFFIX}"),
        )
    for name in sorted(pushed | (used & set(packaged_names()))):
        with tempfile.TemporaryDirectory() as work:
            try:
                folder = doctor.templates.pull(name, Path(work)) if name in pushed else PACKAGED / f"{name}{SUFFIX}"
                files, unread = read_checked(folder)
            except RefusedError as error:
                yield fault(str(error), doctor.command("template push", f"{name}{SUFFIX}"))
                continue
        errors = [f for f in (*unread, *check_template(name, files)) if f.level is Level.ERROR]
        if errors:
            more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
            yield fault(
                f"template {name}: {errors[0]}{more}",
                f"fix it until {command('template check', f'{name}{SUFFIX}')} finds no error, then: "
                + doctor.command("template push", f"{name}{SUFFIX}"),
            )


def _passes_table(doctor: DoctorContext, name: str, table: Mapping[str, Any]) -> Iterator[DoctorFinding]:
    stream = table.get("StreamSpecification", {})
    if not stream.get("StreamEnabled") or stream.get("StreamViewType") != "NEW_AND_OLD_IMAGES":
        yield fault(
            f"table {name}: its stream is "
            f"{stream.get('StreamViewType', 'off') if stream.get('StreamEnabled') else 'off'}, not NEW_AND_OLD_IMAGES",
            f"{doctor.redeploy}, then run the doctor again: a new stream needs a new event source mapping",
        )
    ttl = doctor.client("dynamodb").describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if ttl.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING") or ttl.get("AttributeName") != "delete_after":
        yield warning(
            f"table {name}: does not delete expired items, whose delete_after is over",
            f"aws dynamodb update-time-to-live --table-name {name} "
            "--time-to-live-specification Enabled=true,AttributeName=delete_after",
        )


def _mapping(
    doctor: DoctorContext, role: str, mapping: Mapping[str, Any], wanted: Mapping[str, Any]
) -> Iterator[DoctorFinding]:
    uuid = mapping["UUID"]
    if mapping["State"] not in ("Enabled", "Enabling", "Updating"):
        yield fault(
            f"function {role}: is not invoked, its event source mapping is {mapping['State']}",
            f"aws lambda update-event-source-mapping --uuid {uuid} --enabled",
        )
    result = str(mapping.get("LastProcessingResult", ""))
    if result.startswith("PROBLEM"):
        yield fault(
            f"function {role}: Lambda cannot process its event source: {result}",
            f"if a permission is missing: {doctor.redeploy}; if the function fails: {doctor.logs_of(role)}",
        )
    for name in SETTINGS:
        if name in wanted and mapping.get(name) != wanted[name]:
            yield fault(
                f"function {role}: its event source mapping has {name} {mapping.get(name)}, not {wanted[name]}",
                doctor.redeploy,
            )
    if "DestinationConfig" in wanted and not mapping.get("DestinationConfig", {}).get("OnFailure", {}).get(
        "Destination"
    ):
        yield fault(f"function {role}: has no destination for batches that it gives up", doctor.redeploy)


def _recursive_loop(doctor: DoctorContext, role: str) -> str:
    name = doctor.stage.functions[role]
    return str(doctor.client("lambda").get_function_recursion_config(FunctionName=name)["RecursiveLoop"])


def _miscount(doctor: DoctorContext, pass_id: str) -> bool:
    dynamodb = doctor.client("dynamodb")
    tables = doctor.stage.tables
    pages = dynamodb.get_paginator("query").paginate(
        TableName=tables["registrations"],
        KeyConditionExpression="pass_id = :pass_id",
        ExpressionAttributeValues={":pass_id": {"S": pass_id}},
        Select="COUNT",
        ConsistentRead=True,
        PaginationConfig={"MaxItems": MAX_COUNTED},
    )
    registered = sum(int(page["Count"]) for page in pages)
    row = dynamodb.get_item(TableName=tables["counts"], Key={"id": {"S": pass_id}}, ConsistentRead=True).get("Item", {})
    counted = int(row.get("holders", {"N": "0"})["N"])
    return counted != registered and not (registered >= MAX_COUNTED and counted >= MAX_COUNTED)


def _depth(doctor: DoctorContext, url: str) -> int:
    attribute = "ApproximateNumberOfMessages"
    found = doctor.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])
    return int(found["Attributes"][attribute])
