"""The constants of a simulated rollout, each with its source.

`AWS` describes a stage in an account with AWS's default quotas. What AWS does not publish is assumed or measured on
another machine, and marked so. `make bench-rollout` measures the constants of the local run.
"""

import math
from dataclasses import dataclass, field, replace

from chalicelib.updates.pacing import LANE_SHARE
from chalicelib.updates.recent import CACHE_SECONDS, PUSH_DELAY_SECONDS
from infra.core.phone_retries import Retries
from infra.deploy.resources import invocations_per_shard


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the web service.

    Args:
        seconds: its duration in a warm execution environment.
        version_units: read units of the row of the pass's version.
        item_units: read units of the pass item.
    """

    seconds: float
    version_units: float
    item_units: float


@dataclass(frozen=True, slots=True)
class Constants:
    """The assumptions of a simulation.

    Args:
        gateway_rate: requests per second of the stage's token bucket (`ThrottleRate`).
        gateway_burst: its burst (`ThrottleBurst`). API Gateway guide, api-gateway-request-throttling.
        devices_per_second: paced notifications per second (`PushRateLimit`).
        lane_share: the share of it that one rollout can take (`chalicelib/updates/pacing.py`).
        unpaced_devices_per_second: notifications per second without pacing, of one pass on all phones.
        unpaced_changes_per_second: the same for passes with one holder each, which the stream's shards limit.
        writes_per_second: at which a pipeline changes passes.
        first_push_seconds: from the write to the first push: stream, stamp, registrations.
        wide_delay_seconds: by which a fan-out begins later (`chalicelib/updates/recent.py`).
        delivery_seconds: shortest and longest time from the push until the phone makes its first call.
        received_per_second: calls that the web service receives, to answer or refuse them. On AWS there is no limit.
        round_trip_seconds: of a call, outside of the function.
        listing: the list call.
        download: the download.
        cold_start_seconds: additional duration of the first call in an execution environment.
        concurrency: execution environments of the API's function at the same time.
        scaling_environments: new ones per `scaling_seconds`. Lambda guide, scaling-behavior: 1,000 every 10 seconds for
            each function, refilled continuously.
        scaling_seconds: see above.
        partition_read_units: of one item per second. DynamoDB guide, bp-partition-key-design.
        cache_seconds: for how long each environment answers from a version of a widely held pass that it has read
            (`chalicelib/updates/recent.py`); 0 without that.
        retries: of the phones; an assumption.
    """

    gateway_rate: float
    gateway_burst: float
    devices_per_second: float
    lane_share: float
    unpaced_devices_per_second: float
    unpaced_changes_per_second: float
    writes_per_second: float
    first_push_seconds: float
    delivery_seconds: tuple[float, float]
    round_trip_seconds: float
    listing: Call
    download: Call
    cold_start_seconds: float
    concurrency: float
    scaling_environments: float = 1000
    scaling_seconds: float = 10
    partition_read_units: float = 3000
    cache_seconds: float = CACHE_SECONDS
    wide_delay_seconds: float = PUSH_DELAY_SECONDS
    received_per_second: float = math.inf
    retries: Retries = field(default_factory=Retries)


LISTING = Call(seconds=0.040, version_units=1, item_units=0)
"""40 ms is the assumption of the cost model; 22 ms were measured at 768 MB (`make bench-cold`), without AWS's latency.
One strongly consistent read of a small row is one unit (DynamoDB guide, read and write units)."""
DOWNLOAD = Call(seconds=0.060, version_units=1, item_units=1)
"""60 ms is the assumption of the cost model. Version and item are two GetItems; of an item up to 4 KB."""


PHONES_POLL_SECONDS = 0.05
"""How often headless phones fetch their pushes (`infra/local/phones.py`)."""
SHARDS = 8
"""Partitions of the passes table, and so shards of its stream. A new on-demand table has 4, for 4,000 writes per second
(DynamoDB guide, warm throughput), and takes twice its earlier peak (on-demand capacity mode), when its passes were
written."""
WRITES_PER_SHARD = 1000
"""DynamoDB guide, bp-partition-key-design."""
CHANGES_PER_SECOND = 215
"""Changes of passes on one device that one push function handles: 2.7 ms of CPU each (`make bench-campaign`) at 1 GB,
which is 0.58 of a core."""


def aws(*, gateway_rate: float, gateway_burst: float, devices_per_second: float) -> Constants:
    """Return the constants of a stage on AWS.

    Args:
        gateway_rate: `ThrottleRate`.
        gateway_burst: `ThrottleBurst`.
        devices_per_second: `PushRateLimit`, or its default.
    """
    return Constants(
        gateway_rate=gateway_rate,
        gateway_burst=gateway_burst,
        devices_per_second=devices_per_second,
        lane_share=LANE_SHARE,
        # 20 workers read 40,000 push tokens per second at most: DynamoDB's default quota for a table.
        unpaced_devices_per_second=40_000,
        unpaced_changes_per_second=SHARDS * invocations_per_shard() * CHANGES_PER_SECOND,
        writes_per_second=SHARDS * WRITES_PER_SHARD,
        # Lambda polls a stream's shard four times per second (Lambda guide, with-ddb); the rest is measured here.
        first_push_seconds=0.5,
        # An assumption: neither Apple nor AWS publishes it.
        delivery_seconds=(0.2, 2.0),
        # An assumption for a mobile network.
        round_trip_seconds=0.1,
        listing=LISTING,
        download=DOWNLOAD,
        # First call of a download at 768 MB (`make bench-cold`).
        cold_start_seconds=0.9,
        # Lambda's default quota of an account (Lambda guide, gettingstarted-limits), less 100 for the other functions.
        concurrency=900,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """A machine on which the local run is, as `make bench-rollout` measures it.

    Args:
        pushes_per_second: without pacing.
        first_push_seconds: from the write to the first push.
        list_seconds: duration of a list call.
        download_seconds: duration of a download.
        received_per_second: calls that all phones together make at most; others wait for their turn.
    """

    pushes_per_second: float
    first_push_seconds: float
    list_seconds: float
    download_seconds: float
    received_per_second: float


def local(machine: Measured, *, gateway_rate: float, gateway_burst: float, devices_per_second: float) -> Constants:
    """Return the constants of a local run.

    Its functions are warm, its phones are on the same machine, and its requests are too few for other limits.
    """
    return Constants(
        gateway_rate=gateway_rate,
        gateway_burst=gateway_burst,
        devices_per_second=devices_per_second,
        lane_share=LANE_SHARE,
        unpaced_devices_per_second=machine.pushes_per_second,
        unpaced_changes_per_second=machine.pushes_per_second,
        writes_per_second=machine.pushes_per_second,
        first_push_seconds=machine.first_push_seconds,
        delivery_seconds=(0.0, PHONES_POLL_SECONDS),
        received_per_second=machine.received_per_second,
        round_trip_seconds=0.0,
        listing=replace(LISTING, seconds=machine.list_seconds),
        download=replace(DOWNLOAD, seconds=machine.download_seconds),
        cold_start_seconds=0.0,
        concurrency=1000,
        wide_delay_seconds=0,  # the measured time to the first push includes it
    )
