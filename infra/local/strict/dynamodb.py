"""DynamoDB: transactions that conflict, and units of capacity per partition key."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from .limits import OK, Handler, Json, Limits, Module, Response, TokenBucket

READ_UNIT_BYTES = 4096
WRITE_UNIT_BYTES = 1024
MAX_BUCKETS = 10_000
LONGEST_SLEEP_SECONDS = 0.02
CONFLICT = "TransactionConflictException"
ItemKey = tuple[str, str, str]
"""Table, partition key and sort key."""


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
            self._count(CONFLICT)
            return self._error(CONFLICT, "Transaction is ongoing for the item")
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
            while (left := self._limits.transaction_seconds + started - time.monotonic()) > 0:
                if self._refused_enough:
                    break
                await asyncio.sleep(min(left, LONGEST_SLEEP_SECONDS))
            before = [self._write_units(key) for key in keys]
            response = await carry_out()
        for key, units in zip(keys, before, strict=True):
            self._take(key, "write", 2 * max(units, self._write_units(key)))
        return response

    @property
    def _refused_enough(self) -> bool:
        most = self._limits.transaction_refusals
        return 0 < most <= self.refused.get(CONFLICT, 0)

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
