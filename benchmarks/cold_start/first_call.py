"""A program that measures a cold start and then warm calls of a function; its last line is the result as JSON.

    python -I -S -B first_call.py FOLDERS MODULE HANDLER EVENTS

It runs without site-packages, without Python's environment variables and without writing compiled files, as in Lambda:
all code is in the folders. Modules that Lambda's bootstrap loads (json, logging) are loaded before the clock starts.
"""

import json
import logging
import os
import sys
import time
import uuid

assert logging
folders, module, handler_name, events_file = sys.argv[1:]
with open(events_file) as file:  # noqa: PTH123 - pathlib would be loaded before the clock starts
    events = json.load(file)


class Context:
    """Lambda's context, with the members that the functions use."""

    aws_request_id = str(uuid.UUID(int=0))
    function_name = "benchmark"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


cpu, started = time.process_time(), time.perf_counter()
sys.path[:0] = folders.split(os.pathsep)
handler = getattr(__import__(module), handler_name)
imported = time.perf_counter()
answer = handler(events[0], Context())
called, first_cpu = time.perf_counter(), time.process_time()
for event in events[1:]:
    handler(event, Context())
warm, warm_cpu = time.perf_counter(), time.process_time()
with open("/proc/self/status") as file:  # noqa: PTH123 - getrusage reports the parent's peak if that is higher
    status = file.read()
sys.stdout.write(
    json.dumps(
        {
            "answer": answer,
            "import_ms": (imported - started) * 1000,
            "call_ms": (called - imported) * 1000,
            "cpu_ms": (first_cpu - cpu) * 1000,
            "warm_ms": (warm - called) * 1000 / max(1, len(events) - 1),
            "warm_cpu_ms": (warm_cpu - first_cpu) * 1000 / max(1, len(events) - 1),
            "peak_mb": int(status.split("VmHWM:")[1].split()[0]) / 1000,
            "modules": sorted(sys.modules),
        }
    )
)
