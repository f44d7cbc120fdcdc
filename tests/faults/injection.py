"""Makes requests to AWS fail, and ends execution environments in the middle of their work."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from botocore.awsrequest import AWSResponse

from tests.faults.rig import Killed, Rig
from tests.support.aws_answers import Raw


@contextlib.contextmanager
def services_answer(rig: Rig, wrong: Callable[[int], tuple[int, str] | None], *, of: str = "") -> Iterator[None]:
    """Answer the nth request with a status and error code, or normally for None.

    Args:
        wrong: by the request's number.
        of: the service, dynamodb or sqs; empty for both.
    """
    numbers = iter(range(1, 1_000_000))

    def answer(request: Any, **_: object) -> AWSResponse | None:  # noqa: ANN401 - botocore's
        if (error := wrong(next(numbers))) is None:
            return None
        status, code = error
        body = f'{{"__type": "com.amazonaws#{code}", "message": "injected"}}'.encode()
        return AWSResponse(request.url, status, {"Content-Type": "application/x-amz-json-1.0"}, Raw(body))

    clients = [client for client in (rig.dynamodb, rig.sqs) if of in client.meta.service_model.service_name]
    for client in clients:
        client.meta.events.register_first("before-send.*", answer)
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister("before-send.*", answer)


@contextlib.contextmanager
def dies_at_request(rig: Rig, number: int) -> Iterator[None]:
    """Kill the execution environment before its nth request to DynamoDB or SQS."""
    numbers = iter(range(1, 1_000_000))

    def die(**_: object) -> None:
        if next(numbers) == number:
            raise Killed

    for client in [rig.dynamodb, rig.sqs]:
        client.meta.events.register_first("before-call.*", die)
    yield


@contextlib.contextmanager
def dies_after_outcomes(rig: Rig, number: int) -> Iterator[None]:
    """Kill the execution environment after a number of answers of APNs, before they are processed."""
    rig.dies_after_outcomes = number
    try:
        yield
    finally:
        rig.dies_after_outcomes = None
