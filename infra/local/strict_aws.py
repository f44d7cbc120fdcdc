"""Makes ministack refuse what AWS refuses: patches that run inside ministack's process.

`aws_rules.py` lists the rules with their sources. This module runs on ministack's own Python and imports nothing but
the standard library. Times are shorter than AWS's, so that a test can wait for them; `Limits` contains them, and
`PUT /_passwire/strict` changes them while ministack runs.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

CONTROL_PATH = "/_passwire/strict"
READ_UNIT_BYTES = 4096
WRITE_UNIT_BYTES = 1024
OK, ACCEPTED = 200, 202
MAX_BUCKETS = 10_000
LONGEST_SLEEP_SECONDS = 0.02
EARLY_VALIDATION = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot Early "
    "Validation errors, use the DescribeEvents API for detailed failure information."
)

Module = Any
"""A module of ministack, which has no types."""
Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes | str]
Handler = Callable[[str, str, dict[str, str], bytes, Json], Awaitable[Response]]
ItemKey = tuple[str, str, str]
"""Table, partition key and sort key."""


@dataclass(slots=True)
class Limits:
    """The limits of the rules. Zero switches a rule off.

    Args:
        read_units_per_second: per partition key (AWS: 3,000).
        write_units_per_second: per partition key (AWS: 1,000).
        transaction_seconds: how long a TransactWriteItems holds its items.
        settling_seconds: how long an event source mapping is Creating or Updating (AWS: tens of seconds).
        queue_name_seconds: how long the name of a deleted queue is not free (AWS: 60).
        secret_name_seconds: how long the name of a secret that was deleted by force is not free (AWS: not documented).
        log_reads_per_second: FilterLogEvents per account (AWS: 5).
        invocation_bytes: the largest payload of a synchronous invocation (AWS: 6 MB).
        existing_names: whether a change set that would create an existing name is refused.
        account_rate: requests per second that the gateway accepts for all stages together (AWS: 10,000).
        account_burst: the number of them that may come at once (AWS: 5,000). The limits of each stage and method are
            those that it is deployed with.
        record_units: whether consumed units are counted by table and partition key.
        account_concurrency: executions of all functions of the account at once (AWS: 1,000, or 10 in a new account).
    """

    read_units_per_second: float = 3000
    write_units_per_second: float = 1000
    transaction_seconds: float = 0.002
    settling_seconds: float = 3
    queue_name_seconds: float = 3
    secret_name_seconds: float = 2
    log_reads_per_second: float = 5
    invocation_bytes: int = 6 * 1024 * 1024
    existing_names: bool = True
    account_rate: float = 10_000
    account_burst: float = 5_000
    record_units: bool = False
    account_concurrency: int = 1000

    def change(self, values: Json) -> None:
        """Set the limits in `values`.

        Raises:
            KeyError: a name in it is not a limit.
        """
        if unknown := values.keys() - asdict(self).keys():
            raise KeyError(f"not a limit: {', '.join(sorted(unknown))}")
        for name, value in values.items():
            setattr(self, name, value)


class TokenBucket:
    """Fills at a rate up to a burst. Its level may be negative, since the cost of an answer is known only afterwards.

    Args:
        rate: tokens per second.
        burst: its capacity, at least one token.
        now: monotonic seconds.
    """

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = max(1.0, burst)
        self.level = self.burst
        self.at = now

    def admits(self, now: float) -> bool:
        """Return true if at least one token is left at `now`."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level >= 1

    def take(self, amount: float) -> None:
        self.level -= amount


@dataclass(slots=True)
class Names:
    """Names that cannot be used again yet, with the times at which they were deleted (monotonic seconds)."""

    deleted_at: dict[str, float] = field(default_factory=dict)

    def mark_deleted(self, name: str) -> None:
        self.deleted_at[name] = time.monotonic()

    def is_free(self, name: str, *, after: float) -> bool:
        at = self.deleted_at.get(name)
        return at is None or time.monotonic() - at >= after


class DynamoDb:
    """Refuses writes that conflict with a transaction, and limits units per partition key and second."""

    def __init__(self, limits: Limits, module: Module, inner: Handler) -> None:
        self._limits = limits
        self._module = module
        self._inner = inner
        self._held: set[ItemKey] = set()
        self._tokens: set[str] = set()
        self._buckets: dict[tuple[str, str, str], TokenBucket] = {}
        self.units: dict[str, dict[str, dict[str, float]]] = {}
        self.refused: dict[str, int] = {}

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        meet = {
            "GetItem": self._get,
            "BatchGetItem": self._batch_get,
            "Query": self._query,
            "PutItem": self._write,
            "UpdateItem": self._write,
            "DeleteItem": self._write,
            "BatchWriteItem": self._batch_write,
            "TransactWriteItems": self._transact_write,
            "TransactGetItems": self._transact_get,
        }.get(action)

        async def carry_out(changed: Json | None = None) -> Response:
            sent = body if changed is None else json.dumps(changed).encode()
            return await self._inner(method, path, headers, sent, query)

        if meet is None:
            return await carry_out()
        try:
            data = json.loads(body)
            return await meet(data, carry_out)
        except _Malformed:
            return await carry_out()  # ministack refuses it

    # ------------------------------------------------------------ requests

    async def _get(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        key = self._key(data["TableName"], data["Key"])
        if not self._admits(key, "read"):
            return self._throttled(data["TableName"], "Read")
        self._take(key, "read", self._read_units(key) * (1 if data.get("ConsistentRead") else 0.5))
        return await carry_out()

    async def _query(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        """Count the units of a Query by the size of its answer; items that it reads and filters out are not counted."""
        key = self._partition(data)
        if key is None:
            return await carry_out()
        if not self._admits(key, "read"):
            return self._throttled(data["TableName"], "Read")
        response = await carry_out()
        self._take(key, "read", _units(len(response[2]), READ_UNIT_BYTES) * (1 if data.get("ConsistentRead") else 0.5))
        return response

    async def _batch_get(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        unprocessed: Json = {}
        for table, request in data["RequestItems"].items():
            taken, left = [], []
            for key in request["Keys"]:
                item = self._key(table, key)
                if self._admits(item, "read"):
                    self._take(item, "read", self._read_units(item) * (1 if request.get("ConsistentRead") else 0.5))
                    taken.append(key)
                else:
                    left.append(key)
            if left:
                unprocessed[table] = {**request, "Keys": left}
                request["Keys"] = taken
        return await self._without(data, unprocessed, "UnprocessedKeys", "Read", carry_out)

    async def _batch_write(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        unprocessed: Json = {}
        for table, requests in data["RequestItems"].items():
            left = []
            for request in requests:
                (written,) = request.values()
                key = self._key(table, written.get("Item") or written["Key"])
                if self._admits(key, "write"):
                    self._take(key, "write", self._write_units(key, written.get("Item")))
                else:
                    left.append(request)
            if left:
                unprocessed[table] = left
                data["RequestItems"][table] = [request for request in requests if request not in left]
        return await self._without(data, unprocessed, "UnprocessedItems", "Write", carry_out)

    async def _without(
        self, data: Json, unprocessed: Json, name: str, kind: str, carry_out: Callable[..., Awaitable[Response]]
    ) -> Response:
        """Carry out the admitted part, and return the rest as unprocessed."""
        if not unprocessed:
            return await carry_out()
        self._count("UnprocessedItems")
        data["RequestItems"] = {
            table: request
            for table, request in data["RequestItems"].items()
            if (request["Keys"] if isinstance(request, dict) else request)
        }
        if not data["RequestItems"]:
            return self._throttled(next(iter(unprocessed)), kind)
        status, headers, body = await carry_out(data)
        if status != OK:
            return status, headers, body
        answer = json.loads(body)
        answer[name] = {**(answer.get(name) or {}), **unprocessed}
        return status, headers, json.dumps(answer).encode()

    async def _write(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        key = self._key(data["TableName"], data.get("Item") or data["Key"])
        if key in self._held:
            self._count("TransactionConflictException")
            return self._error("TransactionConflictException", "Transaction is ongoing for the item")
        if not self._admits(key, "write"):
            return self._throttled(data["TableName"], "Write")
        before = self._write_units(key)
        response = await carry_out()
        self._take(key, "write", max(before, self._write_units(key)))
        return response

    async def _transact_write(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        members = [next(iter(member.values())) for member in data["TransactItems"]]
        keys = [self._key(member["TableName"], member.get("Item") or member["Key"]) for member in members]
        token = data.get("ClientRequestToken")
        if token in self._tokens:
            return self._error(
                "TransactionInProgressException", "The transaction with the given request token is already in progress"
            )
        if refusal := self._refuse_transaction(keys, "write"):
            return refusal
        with self._holding(keys, token):
            started = time.monotonic()  # the limit may be lowered meanwhile
            while (left := self._limits.transaction_seconds + started - time.monotonic()) > 0:  # noqa: ASYNC110 - as above
                await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))
            before = [self._write_units(key) for key in keys]
            response = await carry_out()
        for key, units in zip(keys, before, strict=True):
            self._take(key, "write", 2 * max(units, self._write_units(key)))
        return response

    async def _transact_get(self, data: Json, carry_out: Callable[..., Awaitable[Response]]) -> Response:
        keys = [self._key(member["Get"]["TableName"], member["Get"]["Key"]) for member in data["TransactItems"]]
        if refusal := self._refuse_transaction(keys, "read"):
            return refusal
        for key in keys:
            self._take(key, "read", 2 * self._read_units(key))
        return await carry_out()

    def _refuse_transaction(self, keys: list[ItemKey], kind: str) -> Response | None:
        codes = [
            "TransactionConflict"
            if key in self._held
            else ("None" if self._admits(key, kind) else "ProvisionedThroughputExceeded")
            for key in keys
        ]
        if set(codes) <= {"None"}:
            return None
        self._count("TransactionCanceledException")
        reasons = [{"Code": code} if code == "None" else {"Code": code, "Message": code} for code in codes]
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(codes)}]"
        return self._error("TransactionCanceledException", message, CancellationReasons=reasons)

    @contextmanager
    def _holding(self, keys: list[ItemKey], token: str | None) -> Iterator[None]:
        self._held.update(keys)
        if token:
            self._tokens.add(token)
        try:
            yield
        finally:
            self._held.difference_update(keys)
            self._tokens.discard(token or "")

    # ------------------------------------------------------------ items and units

    def _key(self, table_name: str, attributes: Json) -> ItemKey:
        table = self._module._tables.get(table_name)
        if not table:
            raise _Malformed
        pk, sk, wrong = self._module._resolve_table_key_values(table, attributes, allow_extra=True)
        if wrong:
            raise _Malformed
        return table_name, pk, sk

    def _partition(self, data: Json) -> ItemKey | None:
        """The partition of a Query that has the form of this service's queries; None for any other."""
        name, _, value = (part.strip() for part in data.get("KeyConditionExpression", "").partition("="))
        value = value.split(" ")[0]
        table = self._module._tables.get(data["TableName"])
        known = data.get("ExpressionAttributeValues", {}).get(value)
        if not table or known is None or name != table["pk_name"]:
            return None
        return data["TableName"], next(iter(known.values())), ""

    def _size(self, key: ItemKey) -> int:
        table = self._module._tables.get(key[0])
        item = table["items"].get(key[1], {}).get(key[2]) if table else None
        return self._module._item_size_bytes(item) if item else 0

    def _read_units(self, key: ItemKey) -> int:
        return _units(self._size(key), READ_UNIT_BYTES)

    def _write_units(self, key: ItemKey, new: Json | None = None) -> int:
        size = max(self._size(key), self._module._item_size_bytes(new) if new else 0)
        return _units(size, WRITE_UNIT_BYTES)

    def _bucket(self, key: ItemKey, kind: str) -> TokenBucket | None:
        rate = self._limits.read_units_per_second if kind == "read" else self._limits.write_units_per_second
        if not rate:
            return None
        name = (key[0], key[1], kind)
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != rate:
            if len(self._buckets) >= MAX_BUCKETS:
                self._buckets.clear()
            bucket = self._buckets[name] = TokenBucket(rate=rate, burst=rate, now=time.monotonic())
        return bucket

    def _admits(self, key: ItemKey, kind: str) -> bool:
        bucket = self._bucket(key, kind)
        return bucket is None or bucket.admits(time.monotonic())

    def _take(self, key: ItemKey, kind: str, units: float) -> None:
        if bucket := self._bucket(key, kind):
            bucket.take(units)
        if self._limits.record_units:
            counted = self.units.setdefault(key[0], {}).setdefault(key[1], {"read": 0, "write": 0})
            counted[kind] += units

    def _throttled(self, table: str, kind: str) -> Response:
        self._count("ThrottlingException")
        reason = {"reason": f"Table{kind}KeyRangeThroughputExceeded", "resource": table}
        return self._error(
            "ThrottlingException", "Throughput exceeds the capacity of a partition", throttlingReasons=[reason]
        )

    def _count(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    @staticmethod
    def _error(code: str, message: str, **more: object) -> Response:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more})
        return 400, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": code}, body.encode()


class _Malformed(Exception):  # noqa: N818 - it never leaves this module
    """A request that ministack will refuse."""


def _units(size: int, unit: int) -> int:
    return max(1, -(-size // unit))


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
            return _json_error("ResourceInUseException", message, 400)
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
            return _json_error("RequestTooLargeException", message, 413)
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


class Secrets:
    """Refuses the name of a deleted secret for a time."""

    def __init__(self, limits: Limits, module: Module, inner: Handler) -> None:
        self._limits = limits
        self._module = module
        self._inner = inner
        self._names = Names()

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        data = json.loads(body) if body and action in ("CreateSecret", "DeleteSecret") else {}
        if action == "CreateSecret" and self._scheduled(data.get("Name", "")):
            message = "You can't create this secret because a secret with this name is already scheduled for deletion."
            return _json_error("InvalidRequestException", message, 400)
        response = await self._inner(method, path, headers, body, query)
        if action == "DeleteSecret" and response[0] == OK and data.get("ForceDeleteWithoutRecovery"):
            self._names.mark_deleted(json.loads(response[2])["Name"])
        return response

    def _scheduled(self, name: str) -> bool:
        known = self._module._secrets.get(name)
        if known is not None and known.get("DeletedDate"):
            return True
        return not self._names.is_free(name, after=self._limits.secret_name_seconds)


class Queues:
    """Refuses the name of a deleted queue for a time, also to CloudFormation."""

    def __init__(self, limits: Limits, sqs: Module, provisioners: Module) -> None:
        self._limits = limits
        self._sqs = sqs
        self._provisioners = provisioners
        self._names = Names()

    def install(self) -> None:
        create, delete = (self._sqs._HANDLERS[action] for action in ("CreateQueue", "DeleteQueue"))
        handlers = self._provisioners._RESOURCE_HANDLERS["AWS::SQS::Queue"]
        stack_create, stack_delete = handlers["create"], handlers["delete"]

        def create_queue(data: Json, url: str) -> object:
            self._require_free(self._url(data.get("QueueName", "")))
            return create(data, url)

        def delete_queue(data: Json, url: str) -> object:
            answer = delete(data, url)
            self._names.mark_deleted(self._url(url.rpartition("/")[2]))
            return answer

        def create_in_stack(logical_id: str, props: Json, stack_name: str) -> object:
            name, _ = self._provisioners._sqs_queue_name(props, stack_name, logical_id)
            self._require_free(self._url(name))
            return stack_create(logical_id, props, stack_name)

        def delete_in_stack(physical_id: str, props: Json) -> object:
            existed = physical_id in self._sqs._queues
            answer = stack_delete(physical_id, props)
            if existed:
                self._names.mark_deleted(self._url(physical_id.rpartition("/")[2]))
            return answer

        self._sqs._HANDLERS.update(CreateQueue=create_queue, DeleteQueue=delete_queue)
        handlers.update(create=create_in_stack, delete=delete_in_stack)

    def _url(self, name: str) -> str:
        url: str = self._sqs._queue_url_for_account(self._provisioners.get_account_id(), name)
        return url

    def _require_free(self, url: str) -> None:
        if not self._names.is_free(url, after=self._limits.queue_name_seconds):
            raise self._sqs._Err(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )


class ChangeSets:
    """Refuses a change set that would create an existing name (early validation, since November 2025)."""

    def __init__(self, limits: Limits, cloudformation: Module, changesets: Module, handlers: Module) -> None:
        self._limits = limits
        self._cloudformation = cloudformation
        self._changesets = changesets
        self._handlers = handlers
        self._events: dict[str, list[Json]] = {}

    def install(self) -> None:
        actions = self._handlers._ACTION_HANDLERS
        create, describe = actions["CreateChangeSet"], actions["DescribeEvents"]
        delete = self._handlers._delete_stack_async

        async def delete_stack(stack_name: str, *arguments: object, **options: object) -> None:
            """Note when a stack was deleted, which AWS tells and ministack does not."""
            stack = self._cloudformation._stacks.get(stack_name)
            await delete(stack_name, *arguments, **options)
            if stack is not None:
                stack["DeletionTime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        self._handlers._delete_stack_async = delete_stack

        def create_change_set(params: Json) -> Response:
            known = set(self._cloudformation._change_sets)
            response: Response = create(params)
            for change_set_id in set(self._cloudformation._change_sets) - known:
                self._validate(self._cloudformation._change_sets[change_set_id])
            return response

        def describe_events(params: Json) -> Response:
            name = self._handlers._p(params, "ChangeSetName")
            _, change_set = self._changesets._find_change_set(name, self._handlers._p(params, "StackName"))
            events = self._events.get(change_set["ChangeSetId"]) if name and change_set else None
            if not events:
                answer: Response = describe(params)
                return answer
            # as for a stack's own events, which ministack knows how to write
            stack = self._cloudformation._stacks[change_set["StackName"]]
            before = stack.get("_operation_events")
            stack["_operation_events"] = events
            others = {key: value for key, value in params.items() if key != "ChangeSetName"}
            try:
                written: Response = describe({**others, "StackName": change_set["StackName"]})
            finally:
                stack["_operation_events"] = before or []
            return written

        actions.update(CreateChangeSet=create_change_set, DescribeEvents=describe_events)

    def _validate(self, change_set: Json) -> None:
        if not self._limits.existing_names or change_set["ChangeSetType"] == "IMPORT":
            return
        stack = self._cloudformation._stacks[change_set["StackName"]]
        with self._changesets._stack_region_context(stack, change_set["StackId"]):
            conflicts = list(self._existing(change_set))
        if not conflicts:
            return
        change_set.update(Status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason=EARLY_VALIDATION, Changes=[])
        self._events[change_set["ChangeSetId"]] = [
            {
                "EventId": f"{change_set['ChangeSetName']}-{logical_id}",
                "StackId": change_set["StackId"],
                "OperationId": change_set["ChangeSetName"],
                "OperationType": "CREATE_CHANGESET",
                "OperationStatus": "FAILED",
                "EventType": "VALIDATION_ERROR",
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": name,
                "ResourceType": resource_type,
                "Timestamp": change_set["CreationTime"],
                "ValidationFailureMode": "FAIL",
                "ValidationName": "NAME_CONFLICT_VALIDATION",
                "ValidationStatus": "FAILED",
                "ValidationStatusReason": f"{resource_type} with identifier '{name}' already exists.",
                "ValidationPath": f"/Resources/{logical_id}",
            }
            for logical_id, resource_type, name in conflicts
        ]

    def _existing(self, change_set: Json) -> Iterator[tuple[str, str, str]]:
        """The logical ids, types and names of resources that would be added and exist."""
        resolved = self._changesets._resolve_props_for_diff(
            change_set["_template"], change_set["_resolved_params"], change_set["StackName"], change_set["StackId"]
        )
        for change in change_set["Changes"]:
            added = change["ResourceChange"]
            resource_type, logical_id = added["ResourceType"], added["LogicalResourceId"]
            properties = resolved["Resources"][logical_id].get("Properties") or {}
            if added["Action"] == "Add" and (name := self._existing_name(resource_type, properties)):
                yield logical_id, resource_type, name

    def _existing_name(self, resource_type: str, properties: Json) -> str | None:
        """The name of the resource if another one of its type has it already, else None."""
        if resource_type == "AWS::SQS::Queue":
            sqs, name = self._changesets._sqs, properties.get("QueueName")
            return name if isinstance(name, str) and name in sqs._queue_name_to_url else None
        keys, problem = self._changesets._IMPORT_LOOKUPS.get(resource_type, ((), None))
        name = properties.get(keys[0]) if len(keys) == 1 else None
        return name if isinstance(name, str) and not problem(name) else None


class Gateway:
    """Throttles requests to an API's stage with the token buckets of its method settings, and of the account.

    A method with settings of its own has a bucket of its own. All other methods of the stage share one. AWS describes
    the limits of a stage as applied "at the API method level", which may mean a bucket for each of those methods; one
    for all of them is stricter.
    """

    def __init__(self, limits: Limits, module: Module) -> None:
        self._limits = limits
        self._module = module
        self._buckets: dict[tuple[str, ...], TokenBucket] = {}
        self.refused = 0

    def install(self) -> None:
        self._module._check_throttle = self.check

    def check(
        self, stage: Json, api_id: str, stage_name: str, resource_path: str, http_method: str, _key: object
    ) -> object:
        """Take a token from each bucket of a request; returns ministack's error if one is empty, else None."""
        settings = {_method_of(name): entry for name, entry in (stage.get("methodSettings") or {}).items()}
        method = (resource_path, http_method)
        slot = method if method in settings else EVERY_METHOD
        entry = settings.get(slot, {})
        rate, burst = (entry.get(name) for name in ("throttlingRateLimit", "throttlingBurstLimit"))
        buckets = [
            self._bucket((api_id, stage_name, *slot), rate, burst),
            self._bucket((), self._limits.account_rate or None, self._limits.account_burst),
        ]
        now = time.monotonic()
        limited = [bucket for bucket in buckets if bucket is not None]
        if not all(bucket.admits(now) for bucket in limited):
            self.refused += 1
            return self._module._gw_error("THROTTLED", self._module._GATEWAY_ERROR_MESSAGES["THROTTLED"])
        for bucket in limited:
            bucket.take(1)
        return None

    def _bucket(self, slot: tuple[str, ...], rate: float | None, burst: float | None) -> TokenBucket | None:
        if rate is None:
            return None
        capacity = max(1.0, float(burst or 0))
        bucket = self._buckets.get(slot)
        if bucket is None or (bucket.rate, bucket.burst) != (rate, capacity):
            bucket = self._buckets[slot] = TokenBucket(rate=rate, burst=capacity, now=time.monotonic())
        return bucket


EVERY_METHOD = ("*", "*")


def _method_of(setting: str) -> tuple[str, str]:
    """Return path and HTTP method of the name of a method setting, such as `~1v1~1log/POST` or `/v1/log/POST`."""
    path, _, method = setting.rpartition("/")
    return path if path == "*" else "/" + path.replace("~1", "/").lstrip("/"), method


def _json_error(code: str, message: str, status: int) -> Response:
    body = json.dumps({"__type": code, "Type": "User", "Message": message, "message": message}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-errortype": code}, body


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
        handlers["secretsmanager"] = Secrets(limits, services["secretsmanager"], handlers["secretsmanager"]).handle
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
                return _json_error("ThrottlingException", "Rate exceeded", 400)
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
