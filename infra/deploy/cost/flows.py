"""What each flow asks of AWS. The requests to DynamoDB are those that the suite counts (tests/stack/test_app.py reads
them from here); read and write units follow from AWS's rules for these requests.

AWS, "Capacity unit consumption": a strongly consistent read of up to 4 KB is one unit, a write of up to 1 KB is one,
and in a transaction each is two. Every item but a large pass is below these sizes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from chalicelib.aws.tables.devices import DEVICES_PER_REQUEST, HELD_PASSES_PER_REQUEST
from chalicelib.flows.change import ChangeLimits
from chalicelib.flows.push_worker import WorkerLimits
from chalicelib.updates.push_tasks import MAX_DEVICES_PER_TASK

READ_UNIT_BYTES = 4096
REGISTRATION_BYTES = 130
"""Of a row as a query reads it: pass id, device library identifier, a number, and the names of all three."""
REQUESTS_PER_MESSAGE = 3
"""Sent, received, deleted; batches make it fewer."""
ACCESS_LOG_BYTES = 330
"""Of the line that API Gateway logs of each call (`AccessLogSetting` in `infra/deploy/resources.json`)."""
LAMBDAS_OWN_BYTES = 350
"""Of the lines that Lambda itself logs of each invocation."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one run of a flow asks for.

    Args:
        requests: to DynamoDB, by operation.
        read_units: of DynamoDB.
        write_units: likewise.
        milliseconds: of the function, warm. An assumption, not a measurement on AWS: the dashboard shows yours.
        logged_bytes: of our own lines, at most; the suite measures them.
        messages: through the push queue.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    read_units: float = 0
    write_units: float = 0
    milliseconds: float = 0
    logged_bytes: int = 0
    messages: int = 0

    @property
    def request_count(self) -> int:
        return sum(self.requests.values())


REGISTER = Flow({"GetItem": 2, "TransactWriteItems": 1}, read_units=2, write_units=4, milliseconds=60, logged_bytes=800)
REPEAT = Flow({"GetItem": 2, "TransactWriteItems": 2}, read_units=2, write_units=8, milliseconds=80, logged_bytes=800)
UNREGISTER = Flow(
    {"GetItem": 1, "TransactWriteItems": 1, "DeleteItem": 1},
    read_units=1,
    write_units=5,
    milliseconds=60,
    logged_bytes=800,
)
DOWNLOAD = Flow({"GetItem": 2}, read_units=2, milliseconds=60, logged_bytes=800)


def listing(*, held: int) -> Flow:
    """A device that holds so many passes of the type asks what changed: two rows of each are read."""
    requests = {"GetItem": 1}
    if held:
        requests["BatchGetItem"] = ceil(held / HELD_PASSES_PER_REQUEST)
    return Flow(requests, read_units=1 + 2 * held, milliseconds=40, logged_bytes=800 + 80 * held)


def change(*, devices: int) -> Flow:
    """A pass changes that so many devices hold: its pipeline's own write, the stamp, and the way to each device."""
    direct = min(devices, ChangeLimits().max_direct_devices)
    rest = devices - direct
    reads = Counter({"Query": 1, "BatchGetItem": ceil(direct / DEVICES_PER_REQUEST)})
    progress = 0
    if rest:
        pages = ceil(rest / WorkerLimits().fan_out_page)
        progress = 1 + pages  # the fan-out is claimed, and noted after each page
        reads += Counter({"GetItem": 1, "Query": pages, "BatchGetItem": ceil(rest / DEVICES_PER_REQUEST)})
    found = max(1, ceil(devices * REGISTRATION_BYTES / READ_UNIT_BYTES))
    return Flow(
        {"UpdateItem": 1 + progress, **{operation: count for operation, count in reads.items() if count}},
        read_units=found + devices + (1 if rest else 0),
        write_units=2 + progress,
        milliseconds=40 + 0.2 * devices,
        logged_bytes=4000,
        messages=1 + ceil(rest / MAX_DEVICES_PER_TASK) if rest else 0,
    )
