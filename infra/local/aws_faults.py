"""Adds faults to ministack that AWS has, too: failing and slow requests, killed and frozen functions, repeated batches.

Like `strict/`, this runs inside ministack's process, on its Python, and imports nothing but the standard library.
`PUT /_passwire/faults` sets faults, `GET` returns them and how often each happened, `DELETE` ends all of them. Only
requests of functions fail: what a test or a pipeline sends itself is carried out.

Two rules are always applied, which ministack does not have. A stream batch whose function names a failed record is
delivered again from that record on (Lambda guide, ReportBatchItemFailures). An execution environment that ends while it
starts ends alone: ministack would end all others of the function, also those that are starting, each of which would do
the same. On a busy machine, a function with many callers would never start again.
"""

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

CONTROL_PATH = "/_passwire/faults"
FUNCTIONS = "Credential=000000000000/"
"""The credentials that ministack gives to functions: its account."""
REREAD_RECORDS = 20
KILL_WITHIN_SECONDS = 0.4
"""The longest time after which an invocation is killed or stopped; most invocations take less."""
SKEW = "PASSWIRE_CLOCK_SKEW"
SKEWED_CLOCK = f"""
import os as _os, time as _time
_skew, _clock = float(_os.environ.get("{SKEW}") or 0), _time.time
if _skew:
    _time.time = lambda: _clock() + _skew
"""
"""Code that a function's process runs first."""

Module = Any
"""A module of ministack, which has no types."""
Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes | str]
Handler = Callable[[str, str, dict[str, str], bytes, Json], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class AwsFaults:
    """Faults; a share is from 0 to 1, and zero switches a fault off.

    Args:
        dynamodb_fails: share of requests that are answered 500 without being carried out.
        dynamodb_throttles: share of requests that are refused with ThrottlingException.
        dynamodb_loses_answers: share of requests that are carried out, and answered 500.
        dynamodb_delay_seconds: the longest delay of a request.
        sqs_fails: share of requests that are answered 500 without being carried out.
        sqs_refuses_entries: share of SendMessageBatch requests of which one message is refused.
        s3_fails: share of requests that are answered 500 without being carried out.
        secrets_fail: share of requests that are answered 500 without being carried out.
        kills: share of invocations that are killed within `KILL_WITHIN_SECONDS`.
        stops: share of invocations that are stopped for a time, as if the machine were overloaded.
        stop_seconds: that time.
        loses_results: share of batches that are delivered again although their function has succeeded.
        stream_delay_seconds: the age from which records of a stream are delivered.
        stream_rereads: share of reads of a stream that go back by up to `REREAD_RECORDS` records.
        stream_drops: share of the records of streams that are never delivered, which AWS does not do; for tests that
            have to notice a loss.
        clock_skew_seconds: the largest deviation of the clock of a new execution environment.
        message_wait_seconds: the longest time that a message is delayed, or hidden after a failure, so that no test has
            to wait for AWS's; zero for no limit. A message stays hidden while a function processes it.
    """

    dynamodb_fails: float = 0
    dynamodb_throttles: float = 0
    dynamodb_loses_answers: float = 0
    dynamodb_delay_seconds: float = 0
    sqs_fails: float = 0
    sqs_refuses_entries: float = 0
    s3_fails: float = 0
    secrets_fail: float = 0
    kills: float = 0
    stops: float = 0
    stop_seconds: float = 3
    loses_results: float = 0
    stream_delay_seconds: float = 0
    stream_rereads: float = 0
    stream_drops: float = 0
    clock_skew_seconds: float = 0
    message_wait_seconds: float = 0


NO_FAULTS = AwsFaults()


class FaultyAws:
    """Adds the faults to one ministack.

    Args:
        app: `ministack.app`.
        services: by name, the modules of ministack's services.
        seed: of the random choices.
    """

    def __init__(self, app: Module, services: dict[str, Module], *, seed: int = 0) -> None:
        self.faults = NO_FAULTS
        self.injected: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._runtime = services["lambda_runtime"]
        self._functions = services["lambda_svc"]
        self._tables = services["dynamodb"]
        self._queues = services["sqs"]
        self._processed: set[str] = set()
        """Ids of the messages that functions process now."""
        handlers = app.SERVICE_HANDLERS
        for name, meet in (
            ("dynamodb", self._dynamodb),
            ("sqs", self._sqs),
            ("s3", self._s3),
            ("secretsmanager", self._secrets),
        ):
            handlers[name] = _wrapped(handlers[name], meet)
        self._app = app.app
        app.app = self.serve
        self._install()
        self._install_queues()

    async def serve(self, scope: Json, receive: Callable[[], Awaitable[Json]], send: Callable[[Json], Any]) -> None:
        """The ASGI application."""
        if scope["type"] != "http" or scope.get("path", "") != CONTROL_PATH:
            await self._app(scope, receive, send)
            return
        status, content = 200, {}
        if scope["method"] == "PUT":
            try:
                self._set(json.loads(await _body(receive)))
            except (TypeError, ValueError) as error:
                status, content = 400, {"error": str(error)}
        elif scope["method"] == "DELETE":
            self._set({"new_environments": self.faults.clock_skew_seconds})
        await _answer(send, status, content or {"faults": asdict(self.faults), "injected": self.injected})

    def _set(self, values: Json) -> None:
        new_environments = values.pop("new_environments", False)
        self.faults = AwsFaults(**values)
        if new_environments:
            threading.Thread(target=self._runtime.reset, daemon=True).start()

    # ------------------------------------------------------------ requests

    def _happens(self, share: float, what: str) -> bool:
        if not share or self._random.random() >= share:
            return False
        self.injected[what] += 1
        return True

    async def _dynamodb(self, carry_out: "CarryOut", _: dict[str, str], body: bytes) -> Response:
        faults = self.faults
        if faults.dynamodb_delay_seconds:
            await asyncio.sleep(self._random.random() * faults.dynamodb_delay_seconds)
        if self._happens(faults.dynamodb_throttles, "DynamoDB throttles"):
            return _json_error("com.amazonaws.dynamodb.v20120810#ThrottlingException", 400)
        if self._happens(faults.dynamodb_fails, "DynamoDB fails"):
            return _json_error("com.amazonaws.dynamodb.v20120810#InternalServerError", 500)
        response = await carry_out(body)
        if self._happens(faults.dynamodb_loses_answers, "DynamoDB loses an answer"):
            return _json_error("com.amazonaws.dynamodb.v20120810#InternalServerError", 500)
        return response

    async def _sqs(self, carry_out: "CarryOut", headers: dict[str, str], body: bytes) -> Response:
        faults = self.faults
        if self._happens(faults.sqs_fails, "SQS fails"):
            return _json_error("com.amazonaws.sqs#InternalError", 500)
        batch = headers.get("x-amz-target", "").endswith(".SendMessageBatch")
        if not batch or not self._happens(faults.sqs_refuses_entries, "SQS refuses a message"):
            return await carry_out(body)
        data = json.loads(body)
        refused = data["Entries"].pop(self._random.randrange(len(data["Entries"])))
        failed = [{"Id": refused["Id"], "SenderFault": False, "Code": "InternalError", "Message": "injected"}]
        if not data["Entries"]:
            answer: Json = {"Successful": []}
            status, sent_headers = 200, {"Content-Type": "application/x-amz-json-1.0"}
        else:
            status, sent_headers, sent = await carry_out(json.dumps(data).encode())
            answer = json.loads(sent)
        answer["Failed"] = [*answer.get("Failed", []), *failed]
        return status, sent_headers, json.dumps(answer).encode()

    async def _s3(self, carry_out: "CarryOut", _: dict[str, str], body: bytes) -> Response:
        if self._happens(self.faults.s3_fails, "S3 fails"):
            error = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>injected</Message></Error>"
            return 500, {"Content-Type": "application/xml"}, error
        return await carry_out(body)

    async def _secrets(self, carry_out: "CarryOut", _: dict[str, str], body: bytes) -> Response:
        if self._happens(self.faults.secrets_fail, "Secrets Manager fails"):
            return _json_error("InternalServiceError", 500)
        return await carry_out(body)

    # ------------------------------------------------------------ functions and event sources

    def _install(self) -> None:
        runtime, functions = self._runtime, self._functions
        runtime._PYTHON_WORKER_SCRIPT = SKEWED_CLOCK + runtime._PYTHON_WORKER_SCRIPT
        spawn, invoke = runtime.Worker._spawn, runtime.Worker.invoke
        dispatch, poll = functions._execute_function_dispatch, functions._poll_dynamodb_streams
        since = self._tables.stream_records_since

        def spawn_skewed(worker: Module) -> None:
            os.environ[SKEW] = str(self._random.uniform(-1, 1) * self.faults.clock_skew_seconds)
            spawn(worker)

        def invoke_faulty(worker: Module, *arguments: object, **options: object) -> Json:
            self._disturb(worker)
            try:
                result: Json = invoke(worker, *arguments, **options)
            except Exception as error:  # noqa: BLE001 - any would have ministack end all environments of the function
                worker.kill()
                return {"status": "error", "error": f"{type(error).__name__}: {error}", "cold_start": True, "log": ""}
            return result

        def dispatch_faulty(func: Json, config: Json, event: Module, *arguments: object) -> Json:
            records = event.get("Records") if isinstance(event, dict) else None
            if self.faults.stream_drops and records and records[0].get("eventSource") == "aws:dynamodb":
                records = [r for r in records if not self._happens(self.faults.stream_drops, "record dropped")]
                event = {"Records": records}
            result: Json = dispatch(func, config, event, *arguments)
            return self._settled(config, records, result) if records and not result.get("error") else result

        def poll_again() -> bool:
            self._read_again()
            processed: bool = poll()
            return processed

        def late(table: str, position: int, limit: int, **scope: object) -> list[Json]:
            found: list[Json] = since(table, position, limit, **scope)
            until = time.time() - self.faults.stream_delay_seconds
            young = (n for n, r in enumerate(found) if r["dynamodb"]["ApproximateCreationDateTime"] > until)
            return found[: next(young, None)] if self.faults.stream_delay_seconds else found

        runtime.Worker._spawn, runtime.Worker.invoke = spawn_skewed, invoke_faulty
        functions._execute_function_dispatch, functions._poll_dynamodb_streams = dispatch_faulty, poll_again
        self._tables.stream_records_since = late

    def _install_queues(self) -> None:
        functions, queues = self._functions, self._queues
        receive, process = queues._receive_messages_for_esm, functions._run_sqs_batch

        def receive_early(url: str, most: int) -> list[Json]:
            if limit := self.faults.message_wait_seconds:
                until = time.time() + limit
                for message in list(queues._get_q(url)["messages"]):
                    if message["id"] not in self._processed:
                        message["visible_at"] = min(message["visible_at"], until)
            messages: list[Json] = receive(url, most)
            self._processed.update(message["id"] for message in messages)
            return messages

        def process_received(mapping: Json, func: Json, event: Module, batch: list[Json], *arguments: object) -> None:
            try:
                process(mapping, func, event, batch, *arguments)
            finally:
                self._processed.difference_update(message["id"] for message in batch)

        queues._receive_messages_for_esm, functions._run_sqs_batch = receive_early, process_received

    def _disturb(self, worker: Module) -> None:
        """Kill or stop the process of an invocation soon, or leave it alone."""
        after = self._random.random() * KILL_WITHIN_SECONDS
        if self._happens(self.faults.kills, "function killed"):
            threading.Timer(after, _signal, (worker, signal.SIGKILL)).start()
        elif self._happens(self.faults.stops, "function stopped"):
            threading.Timer(after, _signal, (worker, signal.SIGSTOP, self.faults.stop_seconds)).start()

    def _settled(self, config: Json, records: list[Json], result: Json) -> Json:
        """Decide what Lambda makes of a batch whose function succeeded: settled, or to be delivered again."""
        if records[0].get("eventSource") not in ("aws:dynamodb", "aws:sqs"):
            return result
        if self._happens(self.faults.loses_results, "batch delivered again"):
            return _failed("the result was lost")
        if records[0]["eventSource"] == "aws:sqs" or not isinstance(result.get("body"), dict):
            return result
        failed = {entry.get("itemIdentifier") for entry in result["body"].get("batchItemFailures") or ()}
        first = next((r for r in records if r["dynamodb"]["SequenceNumber"] in failed), None)
        if first is None:
            return result
        self._continue_at(config["FunctionName"], first)
        return {**_failed("the batch failed in part"), "log": result.get("log", "")}

    def _continue_at(self, function: str, record: Json) -> None:
        """Have the event source mapping read its stream from a record on."""
        functions, tables = self._functions, self._tables
        stream = record["eventSourceARN"]
        table = stream.split("/stream/")[0].rsplit("/", 1)[-1]
        for _, _, mapping in functions._iter_all_esms():
            if mapping["FunctionName"] == function and mapping["EventSourceArn"] == stream:
                start = tables.stream_start_position(table)
                numbers = [each["dynamodb"]["SequenceNumber"] for each in tables.stream_live_records(table)]
                with functions._dynamodb_stream_positions_lock:
                    functions._dynamodb_stream_positions[mapping["UUID"]] = start + numbers.index(
                        record["dynamodb"]["SequenceNumber"]
                    )

    def _read_again(self) -> None:
        if not self._happens(self.faults.stream_rereads, "stream read again"):
            return
        functions = self._functions
        with functions._dynamodb_stream_positions_lock:
            positions = functions._dynamodb_stream_positions._data
            for key in list(positions):
                positions[key] = max(0, positions[key] - self._random.randint(1, REREAD_RECORDS))


CarryOut = Callable[[bytes], Awaitable[Response]]


def _wrapped(inner: Handler, meet: "Callable[[CarryOut, dict[str, str], bytes], Awaitable[Response]]") -> Handler:
    """Return a handler that gives the requests of functions to `meet`, and carries out all others."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        async def carry_out(changed: bytes) -> Response:
            return await inner(method, path, headers, changed, query)

        if FUNCTIONS not in headers.get("authorization", ""):
            return await carry_out(body)
        return await meet(carry_out, headers, body)

    return handle


def _signal(worker: Module, number: int, resume_after: float = 0) -> None:
    process = worker._proc
    with suppress(OSError, AttributeError):
        process.send_signal(number)
        if resume_after:
            timer = threading.Timer(resume_after, _resume, (process,))
            timer.daemon = True
            timer.start()


def _resume(process: Module) -> None:
    with suppress(OSError):
        process.send_signal(signal.SIGCONT)


def _failed(message: str) -> Json:
    return {"error": True, "body": {"errorType": "Injected", "errorMessage": message}}


def _json_error(code: str, status: int) -> Response:
    body = json.dumps({"__type": code, "message": "injected", "Message": "injected"}).encode()
    return status, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": code.rpartition("#")[2]}, body


async def _body(receive: Callable[[], Awaitable[Json]]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = bool(message.get("more_body"))
    return body


async def _answer(send: Callable[[Json], Any], status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
