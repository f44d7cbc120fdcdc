"""Backs up and restores the tables and templates of a deployed stage."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.aws.images import PREFIX as IMAGES_PREFIX
from chalicelib.aws.tables.registrations import COUNTED
from chalicelib.aws.templates import unpack
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.passes.template import TemplateError
from chalicelib.updates.events import NOTE
from chalicelib.updates.push_tasks import NotifyDevices, encode, in_chunks
from infra.operate.backup import file
from infra.operate.backup.errors import BackupError
from infra.operate.backup.file import KINDS, Contents
from infra.operate.passes.registrations import RegistrationCounter
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.stage import Stage

WRITERS = 16
"""Number of concurrent writes."""
READ_AT_ONCE = 100
"""AWS, "BatchGetItem"."""
CHUNK_ITEMS = 500
"""Items that are written between two progress reports."""
ATTEMPTS = 10
"""A new table throttles while it scales up."""
AHEAD_SECONDS = 60
"""A pass that changes more than once per second is stamped ahead of the clock, by less than this."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Effects of a restore.

    Args:
        new: number of passes that the stage does not have.
        changed: number of passes that the stage has with other content.
        unchanged: number of passes that the stage has as they are in the backup.
        lost: number of registrations that the stage does not have.
        devices: number of devices to notify.
    """

    new: int
    changed: int
    unchanged: int
    lost: int
    devices: int


@dataclass(frozen=True, slots=True)
class Restored:
    """Result of a restore.

    Args:
        changed: number of items by kind that the stage did not have, or had with other content.
        not_restored: a sentence for each template of the backup that is damaged or not valid.
    """

    changed: Counter[str]
    not_restored: Sequence[str]


OnProgress = Callable[[str, int], object]
"""Called with a kind and the number of its items that were read or written since the last call."""


class BackedUpStage:
    """A deployed stage to back up or to restore into.

    Args:
        stage: the stage.
        suffix: end of the names of the tables to read; tables restored to a point in time have other names.
    """

    def __init__(self, stage: Stage, *, suffix: str = "") -> None:
        self._stage = stage
        self._suffix = suffix
        config = Config(max_pool_connections=WRITERS, retries={"total_max_attempts": ATTEMPTS, "mode": "standard"})
        self._dynamodb = retry_conflicts(aws.client("dynamodb", config=config))
        self._sqs = aws.client("sqs")
        self._s3 = aws.client("s3", config=config)
        self._bucket = stage.templates_bucket
        self._templates = TemplatesBucket(stage)

    def back_up(self, path: Path, *, on_progress: OnProgress) -> Contents:
        """Write all tables, templates and images into a file.

        Raises:
            BackupError: the file exists already, or the current revision of a template is missing.
        """
        begun_at = datetime.now(UTC).isoformat(timespec="seconds")
        items = ((kind, item) for kind in KINDS for item in self._items(kind, on_progress))
        return file.write(path, stage=self._stage.name, begun_at=begun_at, items=items)

    def restore(self, path: Path, *, on_progress: OnProgress, events: bool = False) -> Restored:
        """Write the items of a verified file back; changes that phones have made since the backup are kept.

        A template that is damaged or not valid is left out, and the passes are restored nevertheless: those that use it
        are refused until it is pushed, as if it had never been there.

        Args:
            path: of the file.
            on_progress: reports progress.
            events: True to publish `pass.registered` and `pass.updated` for what is restored.
        """
        not_restored: list[str] = []
        write: dict[str, Callable[[Mapping[str, Any]], bool]] = {
            "versions": partial(self._restore_version, events=events),
            "templates": partial(self._restore_template, not_restored=not_restored),
            "images": self._restore_image,
            "passes": partial(self._restore_pass, events=events),
            "devices": self._restore_device,
            "registrations": partial(self._restore_registration, events=events),
        }
        changed: Counter[str] = Counter()
        for kind in KINDS:
            # All items of one kind are written before the next kind begins: no update is lost only in this order.
            with ThreadPoolExecutor(WRITERS) as writers:
                for items in chunked(file.read(path, kind), CHUNK_ITEMS):
                    results = list(writers.map(write[kind], items))
                    changed[kind] += sum(results)
                    if kind == "registrations":
                        self._request_pushes(item for item, was_lost in zip(items, results, strict=True) if was_lost)
                    on_progress(kind, len(items))
        return Restored(changed, sorted(not_restored))

    def plan(self, path: Path, *, on_progress: OnProgress) -> RestorePlan:
        """Return what restoring a verified file would do, without writing."""
        new = unchanged = lost = 0
        different: set[str] = set()
        for items in chunked(file.read(path, "passes"), READ_AT_ONCE):
            stored = self._stored("passes", items, ("pass_id",))
            for item in items:
                before = stored.get((item["pass_id"]["S"],))
                new += before is None
                unchanged += before == item
                if before != item:
                    different.add(item["pass_id"]["S"])
            on_progress("passes", len(items))
        devices: set[str] = set()
        names = ("pass_id", "device_library_identifier")
        for items in chunked(file.read(path, "registrations"), READ_AT_ONCE):
            stored = self._stored("registrations", items, names)
            for item in items:
                pass_id, device = (item[name]["S"] for name in names)
                if (pass_id, device) not in stored:
                    lost += 1
                    devices.add(device)
            on_progress("registrations", len(items))
        changed = len(different) - new
        registered = RegistrationCounter(self._stage).devices(different)
        return RestorePlan(new, changed, unchanged, lost, registered + len(devices))

    def _stored(
        self, kind: str, items: Sequence[Mapping[str, Any]], names: tuple[str, ...]
    ) -> dict[tuple[str, ...], dict[str, Any]]:
        """Return the stage's items that have the keys of these, by key."""
        table = self._stage.tables[kind]
        keys = [{name: item[name] for name in names} for item in items]
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        while keys:
            answer = self._dynamodb.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
            for item in answer["Responses"].get(table, []):
                found[tuple(item[name]["S"] for name in names)] = item
            keys = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", [])
        return found

    def _items(self, kind: str, on_progress: OnProgress) -> Iterator[Mapping[str, Any]]:
        pages = {"templates": self._template_pages, "images": self._image_pages}
        for page in pages[kind]() if kind in pages else self._table_pages(kind):
            yield from page
            on_progress(kind, len(page))

    def _table_pages(self, kind: str) -> Iterator[list[dict[str, Any]]]:
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._stage.tables[kind] + self._suffix, ConsistentRead=True
        )
        for page in pages:
            yield page["Items"]

    def _template_pages(self) -> Iterator[list[dict[str, Any]]]:
        for template in self._templates.list():
            try:
                packed = self._templates.packed(template.name, template.revision)
            except ClientError as error:
                if aws.error_code(error) != "NoSuchKey":
                    raise
                raise BackupError(
                    f"template {template.name}: its current revision is missing in the bucket, so the backup would not "
                    "contain it; push the template again, and back up again"
                ) from None
            yield [{"name": template.name, "revision": template.revision, "zip": packed}]

    def _image_pages(self) -> Iterator[list[dict[str, Any]]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=IMAGES_PREFIX):
            for entry in page.get("Contents", []):
                body = self._s3.get_object(Bucket=self._bucket, Key=entry["Key"])["Body"].read()
                yield [{"key": entry["Key"].removeprefix(IMAGES_PREFIX), "png": body}]

    def _restore_version(self, item: Mapping[str, Any], *, events: bool) -> bool:
        """Restore a version row unless the table's stamp is later.

        The new stamp is at least one minute from now: phones may have seen later stamps than the backup contains.

        Without `events`, the row is marked as silent up to the revision that the restored pass gets
        (`updates/pass_events.py`). Notes of events are not restored.
        """
        values = {name: value for name, value in item.items() if name not in ("pass_id", "silent")}
        if not values or item["pass_id"]["S"].startswith(NOTE):
            return False
        is_silent = not events and "revision" in values
        if is_silent:
            values["silent"] = {"N": str(int(values["revision"]["N"]) + 1)}
        condition = "attribute_not_exists(modified_at)"
        backed_up = {}
        if "modified_at" in values:
            condition += " OR modified_at < :backed_up"
            backed_up = {":backed_up": values["modified_at"]}
            values["modified_at"] = {"N": str(max(int(values["modified_at"]["N"]), int(time.time()) + AHEAD_SECONDS))}
        restored = self._update(
            TableName=self._stage.tables["versions"],
            Key={"pass_id": item["pass_id"]},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={**{f":{name}": value for name, value in values.items()}, **backed_up},
        )
        if not restored and is_silent:
            self._update(
                TableName=self._stage.tables["versions"],
                Key={"pass_id": item["pass_id"]},
                UpdateExpression="SET silent = if_not_exists(revision, :none) + :one",
                ExpressionAttributeValues={":none": {"N": "0"}, ":one": {"N": "1"}},
            )
        return restored

    def _restore_registration(self, item: Mapping[str, Any], *, events: bool) -> bool:
        """Restore a registration; return True if it was lost. It is counted in either case."""
        return self._update(
            TableName=self._stage.tables["registrations"],
            Key={name: item[name] for name in ("pass_id", "device_library_identifier")},
            UpdateExpression="SET registered_at = :registered_at, counted = :counted, silent = :silent"
            + (", wallet = :wallet" if "wallet" in item else ""),
            ConditionExpression="attribute_not_exists(registered_at)",
            ExpressionAttributeValues={
                ":registered_at": {"N": str(int(time.time()))},
                ":counted": {"N": str(COUNTED)},
                ":silent": {"BOOL": not events},
                **({":wallet": item["wallet"]} if "wallet" in item else {}),
            },
        )

    def _restore_device(self, item: Mapping[str, Any]) -> bool:
        """Restore a device row; a push token in the table is newer and is kept, and the passes are added."""
        passes = item.get("passes")
        answer = self._dynamodb.update_item(
            TableName=self._stage.tables["devices"],
            ReturnValues="ALL_OLD",
            Key={"device_library_identifier": item["device_library_identifier"]},
            UpdateExpression=(
                "SET push_token = if_not_exists(push_token, :push_token), "
                "updated_at = if_not_exists(updated_at, :updated_at)"
                + (", wallet = if_not_exists(wallet, :wallet)" if "wallet" in item else "")
                + (" ADD passes :passes" if passes else "")
            ),
            ExpressionAttributeValues={
                ":push_token": item["push_token"],
                ":updated_at": item["updated_at"],
                **({":wallet": item["wallet"]} if "wallet" in item else {}),
                **({":passes": passes} if passes else {}),
            },
        )
        before = answer.get("Attributes", {})
        return not before or not set((passes or {}).get("SS", [])) <= set(before.get("passes", {}).get("SS", []))

    def _restore_template(self, item: Mapping[str, Any], *, not_restored: list[str]) -> bool:
        """Restore a template unless the bucket has a valid one of its name, which was pushed since."""
        if self._templates.is_intact(item["name"]):
            return False
        try:
            self._templates.push(item["name"], unpack(item["name"], item["zip"]), on_progress=lambda _: None)
        except TemplateError as error:
            not_restored.append(str(error))
            return False
        return True

    def _restore_image(self, item: Mapping[str, Any]) -> bool:
        """Write an image; an existing object of this key has the same content, since the key is its hash."""
        self._s3.put_object(
            Bucket=self._bucket, Key=IMAGES_PREFIX + item["key"], Body=item["png"], ContentType="image/png"
        )
        return True

    def _restore_pass(self, item: Mapping[str, Any], *, events: bool) -> bool:
        answer = self._dynamodb.put_item(TableName=self._stage.tables["passes"], Item=item, ReturnValues="ALL_OLD")
        changed = bool(answer.get("Attributes", {}) != item)
        if not changed and not events:  # the pass gets no new revision, so its next one is an event
            self._update(
                TableName=self._stage.tables["versions"],
                Key={"pass_id": item["pass_id"]},
                UpdateExpression="REMOVE silent",
                ConditionExpression="attribute_exists(silent)",
            )
        return changed

    def _request_pushes(self, registrations: Iterable[Mapping[str, Any]]) -> None:
        """Enqueue a push task for the device of each registration."""
        devices: defaultdict[str, set[DeviceLibraryIdentifier]] = defaultdict(set)
        for item in registrations:
            pass_type_identifier = PassId.parse(item["pass_id"]["S"]).pass_type_identifier
            devices[pass_type_identifier].add(DeviceLibraryIdentifier(item["device_library_identifier"]["S"]))
        for pass_type_identifier, lost in devices.items():
            for task in in_chunks(NotifyDevices(pass_type_identifier, tuple(sorted(lost)), time.time())):
                self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(task))

    def _update(self, **request: Any) -> bool:  # noqa: ANN401 - the arguments of UpdateItem
        """Send UpdateItem; return False if its condition was not met."""
        try:
            self._dynamodb.update_item(**request)
        except ClientError as error:
            if aws.error_code(error) != aws.CONDITION_FAILED:
                raise
            return False
        return True


def chunked(items: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the items in lists of at most this size."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
