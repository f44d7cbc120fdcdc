"""`make bench-campaign`: measures what one push function spends on a change of a pass on one device.

A campaign changes many passes on one device each. Batches of 100 stream records go through the handler of the push
function, in this process, with DynamoDB of the embedded AWS and the stand-in for APNs. Beside it, a bare loop of
botocore sends the same requests to DynamoDB, one after the other, with finished parameters, and does nothing with the
responses. Rounds are interleaved. CPU time is that of this process, so that the embedded AWS does not count.

The embedded AWS is slower than a push function. So the changes per second are measured once more with a DynamoDB that
answers every request after `LATENCY_SECONDS`, for several numbers of changes that wait for it at the same time. From
the CPU time of a change follows how many push functions a shard of the stream needs.
"""

import argparse
import contextlib
import io
import json
import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.session import get_session
from rich.console import Console
from rich.table import Table

from benchmarks.cold_start.memory import CORE_MB
from chalicelib.apns.client import Client
from chalicelib.apns.credentials import ClientCertificate
from chalicelib.aws import session
from chalicelib.aws.queue import Queue
from chalicelib.aws.session import MAX_CONNECTIONS
from chalicelib.aws.tables import Store
from chalicelib.aws.templates import Templates
from chalicelib.core.identifiers import PassId
from chalicelib.flows.change import ChangeHandler
from chalicelib.flows.pace import Pacer
from chalicelib.flows.send_pushes import PushSender
from chalicelib.http.events import stream_records
from chalicelib.settings import Settings
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.pacing import PushRate
from infra.deploy.resources import chalice_config, resources
from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, keep_development_chain
from infra.local.ministack import running
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from infra.simulation.constants import WRITES_PER_SHARD
from tests.support.aws_answers import Raw

FOLDER = Path(__file__).parents[1] / ".passwire" / "bench"
LATENCY_SECONDS = 0.005
AT_ONCE = (1, 2, 4, 8, 16, 32)
BATCH = 100
PASSES = 400
ROUNDS = 5
FACTORS = (1, 2, 4, 6, 8, 10)
"""Values of Lambda's ParallelizationFactor, which is 10 at most (Lambda API, "CreateEventSourceMapping")."""
PIECE = 25
"""Items of a BatchWriteItem request."""
ROLES = ("passes", "versions", "registrations", "devices")
_SERIALIZER = TypeSerializer()
console = Console(width=120)


class CampaignStage:
    """Tables with passes on one device each, and a push function that handles changes of them."""

    def __init__(self, apns: ApnsStandIn, credential: ClientCertificate, ca: str) -> None:
        self.names = {role: f"campaign-{role}" for role in ROLES}
        self._make_tables()
        self.pass_ids = [PassId(PASS_TYPE_IDENTIFIER, f"C-{number:05}") for number in range(PASSES)]
        self._seed()
        settings = Settings(
            stage="campaign",
            push_queue_url="",
            dead_letter_queue_url="",
            passes_table=self.names["passes"],
            versions_table=self.names["versions"],
            registrations_table=self.names["registrations"],
            devices_table=self.names["devices"],
        )
        self.client = get_session().create_client("dynamodb", config=Config(parameter_validation=False))
        self._store_client = session.client("dynamodb")
        store = Store.connect(settings, client=self._store_client)
        metrics = Metrics("campaign")
        push_client = Client(url=apns.apns_url, credential=credential, ca=ca)
        sender = PushSender(
            store, Pacer(store, PushRate(1_000_000)), metrics, client_for=lambda _: push_client, clock=time.time
        )
        queue = Queue(push_queue_url="", dead_letter_queue_url="")
        self._changes = ChangeHandler(store, queue, sender, metrics, templates=Templates(), clock=time.time)
        self._sequence_number = 0
        self.settles_at_once(MAX_CONNECTIONS)

    def settles_at_once(self, changes: int) -> None:
        """Set how many changes wait for DynamoDB at the same time."""
        self._changes = replace(self._changes, overlap=ThreadPoolExecutor(changes).map)

    def answers_itself(self) -> None:
        """Answer every request to DynamoDB in this process, after the latency of a real one."""

        def answer(request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's
            time.sleep(LATENCY_SECONDS)
            operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
            body = json.dumps(self._answer(operation, json.loads(request.body))).encode()
            return AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.0"}, Raw(body))

        self._store_client.meta.events.register_first("before-send.dynamodb", answer)

    def _answer(self, operation: str, request: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        if operation == "Query":
            pass_id = next(iter(request["ExpressionAttributeValues"].values()))["S"]
            device = {"S": f"device-{pass_id.partition('/')[2]}"}
            return {"Items": [{"device_library_identifier": device, "registered_at": {"N": "1"}}], "Count": 1}
        if operation == "BatchGetItem":
            keys = request["RequestItems"][self.names["devices"]]["Keys"]
            token = {"push_token": {"S": "0" * 64}, "updated_at": {"N": "1"}}
            return {"Responses": {self.names["devices"]: [{**key, **token} for key in keys]}, "UnprocessedKeys": {}}
        numbers = {key: {"N": "2"} for key in ("modified_at", "revision", "announced")}
        return {"Attributes": {**request["Key"], **numbers, "last_record": {"S": "1"}}}

    def passwire(self) -> None:
        """Handle a change of each pass, in batches."""
        for start in range(0, PASSES, BATCH):
            records = [self._record(pass_id) for pass_id in self.pass_ids[start : start + BATCH]]
            with contextlib.redirect_stdout(io.StringIO()):
                failed = self._changes.handle(stream_records({"Records": records}), deadline=time.monotonic() + 60)
            if failed:
                raise SystemExit("a change failed")

    def bare(self) -> None:
        """Send the requests of the same changes."""
        now = int(time.time())
        for start in range(0, PASSES, BATCH):
            pass_ids = self.pass_ids[start : start + BATCH]
            for pass_id in pass_ids:
                self._sequence_number += 1
                self.client.update_item(**self._stamp(pass_id, now))
                self.client.query(**self._holders(pass_id))
            self.client.update_item(**self._time())
            keys = [{"device_library_identifier": {"S": f"device-{p.serial_number}"}} for p in pass_ids]
            table = {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "push_token"}
            self.client.batch_get_item(RequestItems={self.names["devices"]: table})

    def _stamp(self, pass_id: PassId, now: int) -> dict[str, Any]:
        return {
            "TableName": self.names["versions"],
            "Key": {"pass_id": {"S": str(pass_id)}},
            "UpdateExpression": "SET modified_at = modified_at + :one, announced = :now, last_record = :record "
            "REMOVE deleted, refused ADD revision :one",
            "ConditionExpression": "attribute_exists(modified_at) AND last_record <> :record",
            "ExpressionAttributeValues": {
                ":now": {"N": str(now)},
                ":one": {"N": "1"},
                ":record": {"S": f"bare-{self._sequence_number}"},
            },
            "ReturnValues": "ALL_NEW",
        }

    def _holders(self, pass_id: PassId) -> dict[str, Any]:
        return {
            "TableName": self.names["registrations"],
            "KeyConditionExpression": "pass_id = :pass_id",
            "ExpressionAttributeValues": {":pass_id": {"S": str(pass_id)}},
            "ConsistentRead": True,
            "Limit": 21,
        }

    def _time(self) -> dict[str, Any]:
        return {
            "TableName": self.names["versions"],
            "Key": {"pass_id": {"S": "bare"}},
            "UpdateExpression": "SET free_at = :now",
            "ExpressionAttributeValues": {":now": {"N": "1"}},
        }

    def _record(self, pass_id: PassId) -> dict[str, Any]:
        self._sequence_number += 1
        key = {"pass_id": str(pass_id)}
        old, new = (
            {**key, "template": "boarding", "fields": {"gate": f"{letter}{self._sequence_number}", "seat": "14C"}}
            for letter in "AB"
        )
        return {
            "dynamodb": {
                "Keys": _SERIALIZER.serialize(key)["M"],
                "SequenceNumber": str(self._sequence_number),
                "ApproximateCreationDateTime": time.time(),
                "OldImage": _SERIALIZER.serialize(old)["M"],
                "NewImage": _SERIALIZER.serialize(new)["M"],
            }
        }

    def _make_tables(self) -> None:
        dynamodb = boto3.client("dynamodb")
        for role, name in self.names.items():
            properties = resources()["Resources"][f"{role.title()}Table"]["Properties"]
            wanted = {key: properties[key] for key in ("AttributeDefinitions", "KeySchema", "BillingMode")}
            dynamodb.create_table(TableName=name, **wanted)

    def _seed(self) -> None:
        resource, now = boto3.resource("dynamodb"), int(time.time()) - 1000
        tables = {role: resource.Table(name) for role, name in self.names.items()}
        with contextlib.ExitStack() as batches:
            write = {role: batches.enter_context(table.batch_writer()) for role, table in tables.items()}
            for pass_id in self.pass_ids:
                device = {"device_library_identifier": f"device-{pass_id.serial_number}"}
                key = {"pass_id": str(pass_id)}
                write["versions"].put_item(Item={**key, "modified_at": now, "revision": 1, "last_record": "0"})
                write["registrations"].put_item(Item={**key, **device, "registered_at": now})
                token = {"push_token": secrets.token_hex(32), "passes": {str(pass_id)}, "updated_at": now * 1000}
                write["devices"].put_item(Item={**device, **token})


@contextlib.contextmanager
def a_stage() -> Iterator[CampaignStage]:
    """Start the embedded AWS and the stand-in for APNs, with a stage of a campaign."""
    folder = FOLDER / "campaign"
    folder.mkdir(parents=True, exist_ok=True)
    chain = keep_development_chain(
        folder / "certificates", pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
    )
    with contextlib.ExitStack() as cleanup:
        ministack = cleanup.enter_context(
            running(folder / "ministack", port=None, on_progress=console.print, strict=None)
        )
        os.environ.update(ministack.environment)
        apns = cleanup.enter_context(
            ApnsStandIn.start(
                certificate=chain.apns_server_certificate,
                private_key=chain.apns_server_key,
                client_ca=chain.intermediate,
                provider_keys={KEY_ID: chain.provider_public_key},
            )
        )
        credential = ClientCertificate(
            certificate=chain.pass_type_certificate.read_text(), private_key=chain.pass_type_key.read_text()
        )
        yield CampaignStage(apns, credential, chain.root.read_text())


def measured(run: Callable[[], None]) -> tuple[float, float]:
    """Run once; returns milliseconds of CPU per change, and changes per second."""
    began, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.process_time() - cpu) * 1000 / PASSES, PASSES / (time.perf_counter() - began)


def speeds_of(stage: CampaignStage) -> dict[int, float]:
    """Measure the changes per second for several numbers of changes at once."""
    stage.answers_itself()
    speeds = {}
    for at_once in AT_ONCE:
        stage.settles_at_once(at_once)
        stage.passwire()
        speeds[at_once] = max(measured(stage.passwire)[1] for _ in range(3))
    return speeds


def speeds_per_shard(cpu_ms: float) -> dict[int, float]:
    """Return the changes per second of one shard of the stream by `ParallelizationFactor`, which is the number of push
    functions that handle a shard at the same time. Each has the share of a core that its memory gives it.

    Args:
        cpu_ms: CPU time of a change, in milliseconds.
    """
    memory = int(chalice_config()["lambda_functions"]["push"]["lambda_memory_size"])
    of_one = 1000 / cpu_ms * min(1.0, memory / CORE_MB)
    return {factor: round(min(WRITES_PER_SHARD, factor * of_one), 1) for factor in FACTORS}


def main() -> None:
    """Measure, print, write `.passwire/bench/campaign.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with a_stage() as stage:
        ways = {"passwire": stage.passwire, "bare": stage.bare}
        for run in ways.values():
            run()
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                found[name].append(measured(run))
        speeds = speeds_of(stage)
    median = {name: statistics.median(cpu for cpu, _ in runs) for name, runs in found.items()}
    table = Table("", "CPU ms per change", "changes per second")
    for name, runs in found.items():
        table.add_row(name, f"{median[name]:.2f}", f"{statistics.median(speed for _, speed in runs):.0f}")
    console.print(table)
    console.print(f"passwire / bare: {median['passwire'] / median['bare']:.2f}")
    table = Table("changes at once", "changes per second of one push function")
    for at_once, speed in speeds.items():
        table.add_row(str(at_once), f"{speed:.0f}")
    console.print(table)
    per_shard = speeds_per_shard(median["passwire"])
    table = Table("ParallelizationFactor", f"changes per second of one shard, which takes {WRITES_PER_SHARD:,} writes")
    for factor, speed in per_shard.items():
        table.add_row(str(factor), f"{speed:.0f}")
    console.print(table)
    written = {
        "unit": "ms CPU",
        "rounds": rounds,
        "median": median,
        "changes_per_second": speeds,
        "changes_per_second_of_a_shard": per_shard,
    }
    (FOLDER / "campaign.json").write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
