"""The rules of all services, applied to one ministack, and the endpoint that reads and changes their limits."""

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import Any

from .dynamodb import DynamoDb
from .functions import Concurrency, EventSourceMappings
from .gateway import Gateway
from .limits import Json, Limits, Module, Response, TokenBucket, json_error
from .names import ChangeSets, FreedSecretNames, Queues

CONTROL_PATH = "/_passwire/strict"


class Strict:
    """Applies all rules to one ministack.

    Args:
        limits: how strict it is at the start.
        app: `ministack.app`.
        services: by name, the modules of ministack's services.
    """

    def __init__(self, limits: Limits, app: Module, services: dict[str, Module]) -> None:
        self.limits = limits
        handlers = app.SERVICE_HANDLERS
        self.dynamodb = DynamoDb(limits, services["dynamodb"], handlers["dynamodb"])
        handlers["dynamodb"] = self.dynamodb.handle
        handlers["lambda"] = EventSourceMappings(limits, handlers["lambda"]).handle
        handlers["secretsmanager"] = FreedSecretNames(
            limits, services["secretsmanager"], handlers["secretsmanager"]
        ).handle
        self._logs = handlers["logs"]
        handlers["logs"] = self._read_logs
        Concurrency(limits, services["lambda_svc"]).install()
        Queues(limits, services["sqs"], services["provisioners"]).install()
        ChangeSets(limits, services["cloudformation"], services["changesets"], services["handlers"]).install()
        self.gateway = Gateway(limits, services["apigateway"])
        self.gateway.install()
        self._app = app.app
        app.app = self.serve
        self._log_reads = TokenBucket(rate=0, burst=0, now=time.monotonic())

    async def serve(self, scope: Json, receive: Callable[[], Awaitable[Json]], send: Callable[[Json], Any]) -> None:
        """The ASGI application."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path == CONTROL_PATH:
            await self._control(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _control(self, scope: Json, receive: Callable[[], Awaitable[Json]], send: Callable[[Json], Any]) -> None:
        if scope["method"] == "PUT":
            body = b"".join([part async for part in _body(receive)])
            self.limits.change(json.loads(body))
            self.dynamodb.units.clear()
            self.dynamodb.refused.clear()
            self.gateway.refused = 0
        refused = {**self.dynamodb.refused, "TooManyRequests": self.gateway.refused}
        await _answer(send, 200, {"limits": asdict(self.limits), "units": self.dynamodb.units, "refused": refused})

    async def _read_logs(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        rate = self.limits.log_reads_per_second
        if rate and headers.get("x-amz-target", "").endswith(".FilterLogEvents"):
            if self._log_reads.rate != rate:
                self._log_reads = TokenBucket(rate=rate, burst=rate, now=time.monotonic())
            if not self._log_reads.admits(time.monotonic()):
                return json_error("ThrottlingException", "Rate exceeded", 400)
            self._log_reads.take(1)
        response: Response = await self._logs(method, path, headers, body, query)
        return response


async def _body(receive: Callable[[], Awaitable[Json]]) -> Any:  # noqa: ANN401 - an asynchronous generator
    more = True
    while more:
        message = await receive()
        more = bool(message.get("more_body"))
        yield message.get("body", b"")


async def _answer(send: Callable[[Json], Any], status: int, content: object) -> None:
    body = json.dumps(content).encode()
    headers: Iterable[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
