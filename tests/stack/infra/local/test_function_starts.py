"""The embedded AWS starts no more execution environments of a function at once than the machine has cores."""

import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import boto3
import pytest

from infra.local.run import LocalRun

CALLS = 4 * (os.cpu_count() or 1)
START_SECONDS = 0.2
SLOW_TO_START = f"""
import os, time
began = time.time()
time.sleep({START_SECONDS})
def handler(event, context):
    with open(os.path.join(event, str(os.getpid())), "w") as file:
        file.write(f"{{began}} {{began + {START_SECONDS}}}")
    time.sleep(1)
"""
pytestmark = pytest.mark.timeout(300)


def test_environments_of_a_function_start_in_turn(stack: LocalRun, tmp_path: Path) -> None:
    assert stack
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("slow.py", SLOW_TO_START)
    functions = boto3.client("lambda")
    functions.create_function(
        FunctionName="slow-to-start",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="slow.handler",
        Timeout=60,
        Code={"ZipFile": code.getvalue()},
    )
    try:
        functions.get_waiter("function_active_v2").wait(FunctionName="slow-to-start")
        with ThreadPoolExecutor(CALLS) as threads:
            payload = f'"{tmp_path}"'
            list(
                threads.map(
                    lambda _: functions.invoke(FunctionName="slow-to-start", Payload=payload),  # as many clients
                    range(CALLS),
                )
            )
    finally:
        functions.delete_function(FunctionName="slow-to-start")
    starts = [tuple(map(float, file.read_text().split())) for file in tmp_path.iterdir()]
    assert len(starts) > (os.cpu_count() or 1), "the calls overlapped"
    events = sorted([(end, -1) for _, end in starts] + [(begin, 1) for begin, _ in starts])
    assert max(accumulate(change for _, change in events)) <= (os.cpu_count() or 1)
