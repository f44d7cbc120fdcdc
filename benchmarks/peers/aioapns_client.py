"""aioapns, used as in its documentation. It has a virtual environment of its own and imports nothing of this project.

It uses the pass type certificate, since with provider tokens, where SETTINGS allow one stream at first, it never opens
more than two. The number of tasks is the best one for both latencies.
"""

import asyncio
import json
import os
import ssl
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from aioapns import APNs, NotificationRequest  # type: ignore[import-not-found]  # installed in its own environment only
from aioapns.connection import APNsProductionClientProtocol  # type: ignore[import-not-found]  # as above

TASKS = 300


async def main(job: dict[str, Any]) -> None:
    APNsProductionClientProtocol.APNS_SERVER = job["host"]
    APNsProductionClientProtocol.APNS_PORT = job["port"]
    client = APNs(
        client_cert=job["identity"],
        topic=job["topic"],
        max_connections=1,
        ssl_context=ssl.create_default_context(cafile=job["ca"]),
    )

    async def push(tokens: list[str]) -> int:
        left = iter(tokens)

        async def task() -> int:
            delivered = 0
            for token in left:
                result = await client.send_notification(NotificationRequest(device_token=token, message={}))
                delivered += result.is_successful
            return delivered

        return sum(await asyncio.gather(*(task() for _ in range(TASKS))))

    await push(job["tokens"][:1])
    await push(job["tokens"])
    due = list(islice(cycle(job["tokens"]), job["count"]))
    wall, cpu = time.perf_counter(), sum(os.times()[:2])
    delivered = await push(due)
    report = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": sum(os.times()[:2]) - cpu,
        "delivered": delivered,
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[-1]).read_text())))
