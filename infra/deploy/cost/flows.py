"""Lists the requests of each flow to AWS.

The suite counts the requests to DynamoDB and compares them with these (tests/stack/test_app.py). Read and write units
follow from AWS's rules for the requests.

AWS, "Capacity unit consumption": a strongly consistent read of up to 4 KB is one unit, a write of up to 1 KB is one,
and in a transaction each is two. Every item but a large pass is below these sizes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from chalicelib.aws.tables.devices import DEVICES_PER_REQUEST, HELD_PASSES_PER_REQUEST
from chalicelib.flows.fan_out import FanOutLimits
from chalicelib.settings import DEFAULT_THROTTLE_RATE
from chalicelib.updates.pacing import HORIZON_SECONDS, LANE_SHARE, NARROW_DEVICES, default_push_rate

READ_UNIT_BYTES = 4096
REGISTRATION_BYTES = 130
"""Size of a registration: pass id, device library identifier and a number, with their attribute names."""
REQUESTS_PER_MESSAGE = 3
"""Send, receive, delete; batches need fewer."""
ACCESS_LOG_BYTES = 330
"""Size of the access log's line per request (`AccessLogSetting` in `infra/deploy/resources.json`)."""
LAMBDA_LOG_BYTES = 350
"""Size of the lines that Lambda itself logs per invocation."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The requests of one run of a flow.

    Args:
        requests: requests to DynamoDB, by operation.
        read_units: read units of DynamoDB.
        write_units: write units of DynamoDB.
        milliseconds: duration of the warm function: an assumption, not measured on AWS. The dashboard shows yours.
        logged_bytes: maximum size of the service's log lines, which the suite measures.
        messages: messages in the push queue.
        events: events on the bus.
    """

    requests: Mapping[str, int] = field(default_factory=dict)
    read_units: float = 0
    write_units: float = 0
    milliseconds: float = 0
    logged_bytes: int = 0
    messages: int = 0
    events: int = 0


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


EVENTS_PER_BATCH = 10
"""Assumption: changes that the streams deliver together. A campaign has 100 in each batch, a single change is alone."""
PUBLISH_UPDATES = Flow(
    {"BatchGetItem": 2, "TransactWriteItems": 1},
    read_units=1.5 * EVENTS_PER_BATCH,  # the count, and the template at half a unit
    write_units=2 * EVENTS_PER_BATCH + 2,  # the pass's count, and the day
    milliseconds=100,
    logged_bytes=800,
    events=EVENTS_PER_BATCH,
)
PUBLISH_REGISTRATIONS = Flow(
    {"BatchGetItem": 4, "TransactWriteItems": 1},
    read_units=3.5 * EVENTS_PER_BATCH,  # also the notes about removals
    write_units=2 * EVENTS_PER_BATCH + 4,  # the pass's count, the total and the day
    milliseconds=100,
    logged_bytes=1200,
    events=EVENTS_PER_BATCH,
)
"""`publish_events`, per batch of a stream; reading a stream is free for Lambda."""


def listing(*, held: int) -> Flow:
    """A device lists its changed passes: two items are read per pass.

    Args:
        held: passes of the type that the device is registered for.
    """
    requests = {"GetItem": 1}
    if held:
        requests["BatchGetItem"] = ceil(held / HELD_PASSES_PER_REQUEST)
    return Flow(requests, read_units=1 + 2 * held, milliseconds=40, logged_bytes=800 + 80 * held)


def change(*, devices: int) -> Flow:
    """A pass changes: the pipeline's write, the stamp, and a push to each device, for which time is taken in its lane
    and of the stage (`updates/pacing.py`).

    Args:
        devices: devices that are registered for the pass.
    """
    reads = Counter({"Query": 1, "BatchGetItem": ceil(devices / DEVICES_PER_REQUEST)})
    updates = 1
    pages = turns = 0
    if devices > NARROW_DEVICES:
        rate = default_push_rate(DEFAULT_THROTTLE_RATE) * LANE_SHARE
        pages = ceil(devices / FanOutLimits().page)
        turns = ceil(devices / (rate * HORIZON_SECONDS / 2))  # after each, the fan-out waits for its lane
        updates += 2 * turns + 5 * pages  # claim and release; two each for lane and stage, and the progress
        updates += 2 if turns > 1 else 0  # it is named while it waits
        reads += Counter({"GetItem": turns, "Query": pages})
    elif devices:
        updates += 1  # both at once
    found = max(1, ceil(devices * REGISTRATION_BYTES / READ_UNIT_BYTES))
    return Flow(
        {"UpdateItem": updates, **{operation: count for operation, count in reads.items() if count}},
        read_units=found + devices + turns,
        write_units=1 + updates,
        milliseconds=40 + 0.2 * devices,
        logged_bytes=4000,
        messages=pages + turns,
    )
