"""Lambda: event source mappings that settle after a time, the size of invocations, and concurrency."""

import json
import time

from .limits import ACCEPTED, OK, Handler, Json, Limits, Module, Response, json_error


class EventSourceMappings:
    """Keeps changed mappings in Creating or Updating for a time, and limits the payload of invocations."""

    def __init__(self, limits: Limits, inner: Handler) -> None:
        self._limits = limits
        self._inner = inner
        self._changed: dict[str, tuple[str, float]] = {}

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        if path.rstrip("/").endswith("/invocations") and method == "POST":
            return await self._invoke(method, path, headers, body, query)
        _, found, uuid = path.partition("/event-source-mappings")
        if not found:
            return await self._inner(method, path, headers, body, query)
        uuid = uuid.strip("/")
        if method in ("PUT", "DELETE") and self._state(uuid):
            message = "Cannot update the event source mapping because it is in use."
            return json_error("ResourceInUseException", message, 400)
        response = await self._inner(method, path, headers, body, query)
        if response[0] not in (OK, ACCEPTED):
            return response
        answer = json.loads(response[2])
        if method == "POST":
            self._changed[answer["UUID"]] = ("Creating", time.monotonic())
        elif method == "PUT":
            self._changed[uuid] = ("Updating", time.monotonic())
        for mapping in answer.get("EventSourceMappings", [answer]):
            mapping["State"] = self._state(mapping["UUID"]) or mapping["State"]
        return response[0], response[1], json.dumps(answer).encode()

    async def _invoke(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        limit = self._limits.invocation_bytes
        if limit and len(body) > limit:
            message = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
            return json_error("RequestTooLargeException", message, 413)
        return await self._inner(method, path, headers, body, query)

    def _state(self, uuid: str) -> str | None:
        """The state Creating or Updating, or None if the mapping has settled."""
        state, at = self._changed.get(uuid, ("", 0.0))
        return state if state and time.monotonic() - at < self._limits.settling_seconds else None


class Concurrency:
    """Gives a function its reserved concurrency, and all others what no function has reserved.

    Ministack's own limit, which protects the machine, stays.
    """

    def __init__(self, limits: Limits, module: Module) -> None:
        self._limits = limits
        self._module = module
        self._acquire = module._acquire_execution_slot
        self._account_settings = module._get_account_settings
        self._answer = module.lambda_execute_result_to_api_proxy_response

    def install(self) -> None:
        self._module._acquire_execution_slot = self.acquire
        self._module._get_account_settings = self.account_settings
        self._module.lambda_execute_result_to_api_proxy_response = self.answer_of_api

    def acquire(self, func: Json, config: Json) -> tuple[str | None, str | None]:
        """Take a unit of concurrency: its key and None, or None and the limit that was reached."""
        limit = self._limits.account_concurrency
        if limit and self._module._reserved_concurrency(func, config) is None:
            running = self._module.executions_in_flight()[1]
            reserving = {self._module._inflight_key(record["config"]) for record in self._reserving()}
            unreserved = sum(count for key, count in running.items() if key not in reserving)
            if unreserved >= limit - self._reserved():
                return None, "account"
        taken: tuple[str | None, str | None] = self._acquire(func, config)
        return taken

    def account_settings(self) -> Response:
        status, headers, body = self._account_settings()
        answer = json.loads(body)
        if limit := self._limits.account_concurrency:
            answer["AccountLimit"].update(
                ConcurrentExecutions=limit, UnreservedConcurrentExecutions=limit - self._reserved()
            )
        return status, headers, json.dumps(answer).encode()

    def answer_of_api(self, result: Json) -> tuple[Json | None, str | None]:
        """A REST API answers 500 for a throttled function (A8); ministack answers 429."""
        if result.get("throttle"):
            body = json.dumps({"message": "Internal server error"})
            return {"statusCode": 500, "headers": {"Content-Type": "application/json"}, "body": body}, None
        answer: tuple[Json | None, str | None] = self._answer(result)
        return answer

    def _reserving(self) -> list[Json]:
        return [record for record in self._module._functions.values() if record.get("concurrency")]

    def _reserved(self) -> int:
        return sum(int(record["concurrency"]) for record in self._reserving())
