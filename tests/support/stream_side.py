"""The push function in memory: batches of the stream come in; pushes, push tasks and refusals come out."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from boto3.dynamodb.types import TypeSerializer

from chalicelib.apns.client import Client, Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.images import ImageMissingError
from chalicelib.aws.queue import Queue, QueueError
from chalicelib.aws.templates import TemplateMissingError
from chalicelib.core.errors import ConfigurationError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.flows.change import ChangeHandler, ChangeLimits
from chalicelib.flows.pace import Pacer
from chalicelib.flows.send_pushes import PushSender
from chalicelib.http.events import stream_records
from chalicelib.passes.template import Template
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.pacing import PushRate
from chalicelib.updates.push_tasks import PushTask
from tests.schedules.memory import Memory

TYPE = "pass.com.example"
_SERIALIZER = TypeSerializer()
UNLIMITED = PushRate(1_000_000)


class Designs:
    """Templates by name: what reading one gives or raises, which a test may change at any time."""

    def __init__(self) -> None:
        content = {"generic": {"primaryFields": [{"key": "gate", "label": "GATE", "value": "?"}]}}
        self.template = Template.parse("t", {"pass.json": json.dumps(content).encode()})
        self.found: dict[str, Template | Exception] = {"t": self.template}
        self.looked: list[tuple[str, float]] = []

    def get(self, name: str, *, max_age_seconds: float | None = None, **_: object) -> Template:
        self.looked.append((name, max_age_seconds or 0.0))
        found = self.found.get(name, TemplateMissingError(f"template '{name}' does not exist"))
        if isinstance(found, Exception):
            raise found
        return found


class StreamSide:
    """The push side: what it receives, and the results."""

    def __init__(self, rows: Memory | None = None) -> None:
        self.rows = rows or Memory()
        self.store = self.rows.store()
        self.pushed: list[Push] = []
        self.tasks: list[PushTask] = []
        self.refused: list[RefusedRecord] = []
        self.credential_error: ConfigurationError | None = None
        self.designs = Designs()
        self.uploaded: set[str] = set()
        self.dead_letters_fail = False
        self.queue_fails = False
        self.client_error: Exception | None = None
        queue = SimpleNamespace(send=self._send, send_refusals=self._keep)
        push_sender = PushSender(
            self.store, Pacer(self.store, UNLIMITED), Metrics("test"), client_for=self._client_for, clock=time.time
        )
        self._numbers = iter(range(1, 1000))
        self._changes = ChangeHandler(
            self.store,
            cast("Queue", queue),
            push_sender,
            Metrics("test"),
            templates=self.designs,
            clock=time.time,
            images=cast("Any", SimpleNamespace(validate_exist=self._require)),
        )

    def pushes_directly_to_passes_of_at_most(self, devices: int) -> None:
        self._changes = replace(self._changes, limits=ChangeLimits(narrow_devices=devices))

    def handles(self, *records: Mapping[str, Any], deadline: float | None = None) -> None:
        assert (
            self._changes.handle(stream_records({"Records": records}), deadline=deadline or time.monotonic() + 10) == []
        )

    def holds(self, device: str, *serial_numbers: str) -> None:
        for serial_number in serial_numbers:
            pass_id = PassId(TYPE, serial_number)
            identifier, token = DeviceLibraryIdentifier(device), PushToken(f"token-of-{device}")
            self.store.registrations.create(identifier, pass_id, push_token=token, at=time.time())
            self.rows.items[pass_id] = {"pass_id": str(pass_id)}

    def record(
        self, serial_number: str, *, old: Mapping[str, object] | None, new: Mapping[str, object] | None
    ) -> dict[str, Any]:
        key = {"pass_id": f"{TYPE}/{serial_number}"}
        images = {
            name: _SERIALIZER.serialize({**key, "template": "t", **image})["M"]
            for name, image in (("OldImage", old), ("NewImage", new))
            if image is not None
        }
        number = str(next(self._numbers))
        return {"dynamodb": {"Keys": _SERIALIZER.serialize(key)["M"], "SequenceNumber": number, **images}}

    def changed(self, serial_number: str) -> dict[str, Any]:
        return self.record(serial_number, old={"fields": {"gate": "A"}}, new={"fields": {"gate": "B"}})

    def tokens(self) -> list[str]:
        return sorted(push.push_token.value for push in self.pushed)

    def _send(self, tasks: Sequence[PushTask], *, delay_seconds: int = 0, until: float = 0.0) -> None:
        assert delay_seconds >= 0
        assert until >= 0
        if self.queue_fails:
            raise QueueError("SQS does not answer")
        self.tasks.extend(tasks)

    def _keep(self, records: Sequence[RefusedRecord], *, at: float) -> None:
        assert at
        if self.dead_letters_fail:
            raise QueueError("SQS does not answer")
        self.refused.extend(records)

    def _require(self, keys: Iterable[str]) -> None:
        for key in set(keys) - self.uploaded:
            raise ImageMissingError(f"image {key}: this stage does not have it")

    def _client_for(self, _: str) -> Client:
        if self.client_error is not None:
            raise self.client_error
        if self.credential_error is not None:
            raise self.credential_error
        return cast("Client", SimpleNamespace(push=self._push, connections=0, identity="client"))

    def _push(self, pushes: Sequence[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
        assert deadline
        assert pace
        for push in pushes:
            self.pushed.append(push)
            yield Outcome(push, OutcomeKind.DELIVERED, status=200)
