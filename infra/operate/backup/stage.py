"""What a backup is made of and brought back into: a stage's tables and templates."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.aws.images import PREFIX as IMAGES_PREFIX
from chalicelib.aws.templates import unpack
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import NotifyDevices, encode, in_chunks
from infra.operate.backup import file
from infra.operate.backup.file import KINDS, Contents
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage import aws
from infra.stage.aws import retry_conflicts
from infra.stage.stage import Stage

WRITERS = 16
"""Writes under way at a time."""
AT_ONCE = 500
"""Writes handed out before the count is told."""
ATTEMPTS = 10
"""While a table that was just made warms up, it throttles."""
AHEAD_SECONDS = 60
"""A pass that changes more often than once a second is stamped ahead of the clock; no pass does so for longer."""

Done = Callable[[str, int], object]
"""Takes a kind, and how many more of it are done."""


class BackedUpStage:
    """A deployed stage.

    Args:
        suffix: of the names of the tables to read: those that were restored to a point in time have names of their own.
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

    def back_up(self, path: Path, *, done: Done) -> Contents:
        """Write everything into a file.

        Raises:
            BackupError: the file is there already.
        """
        begun_at = datetime.now(UTC).isoformat(timespec="seconds")
        items = ((kind, item) for kind in KINDS for item in self._items(kind, done))
        return file.write(path, stage=self._stage.name, begun_at=begun_at, items=items)

    def restore(self, path: Path, *, done: Done) -> None:
        """Bring everything back that a verified file holds; what phones did since stays."""
        write: dict[str, Callable[[Mapping[str, Any]], object]] = {
            "versions": self._restore_version,
            "templates": self._restore_template,
            "images": self._restore_image,
            "passes": self._restore_pass,
            "devices": self._restore_device,
            "registrations": self._restore_registration,
        }
        for kind in KINDS:
            # Whatever is of one kind is written before the next kind begins: the order is what keeps updates.
            with ThreadPoolExecutor(WRITERS) as writers:
                for some in _chunks(file.read(path, kind)):
                    written = list(writers.map(write[kind], some))
                    if kind == "registrations":
                        self._wake(item for item, was_lost in zip(some, written, strict=True) if was_lost)
                    done(kind, len(some))

    def _items(self, kind: str, done: Done) -> Iterator[Mapping[str, Any]]:
        pages = {"templates": self._template_pages, "images": self._image_pages}
        for page in pages[kind]() if kind in pages else self._table_pages(kind):
            yield from page
            done(kind, len(page))

    def _table_pages(self, kind: str) -> Iterator[list[dict[str, Any]]]:
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._stage.tables[kind] + self._suffix, ConsistentRead=True
        )
        for page in pages:
            yield page["Items"]

    def _template_pages(self) -> Iterator[list[dict[str, Any]]]:
        for template in self._templates.list():
            packed = self._templates.packed(template.name, template.revision)
            yield [{"name": template.name, "revision": template.revision, "zip": packed}]

    def _image_pages(self) -> Iterator[list[dict[str, Any]]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=IMAGES_PREFIX):
            for entry in page.get("Contents", []):
                body = self._s3.get_object(Bucket=self._bucket, Key=entry["Key"])["Body"].read()
                yield [{"key": entry["Key"].removeprefix(IMAGES_PREFIX), "png": body}]

    def _restore_version(self, item: Mapping[str, Any]) -> None:
        """Never back to an earlier stamp; a row that has none yet gets this one, or rather a minute from now: of a row
        that was lost phones may have seen later stamps than the backup has.
        """
        values = {name: value for name, value in item.items() if name != "pass_id"}
        if not values:
            return
        condition = "attribute_not_exists(modified_at)"
        backed_up = {}
        if "modified_at" in values:
            condition += " OR modified_at < :backed_up"
            backed_up = {":backed_up": values["modified_at"]}
            values["modified_at"] = {"N": str(max(int(values["modified_at"]["N"]), int(time.time()) + AHEAD_SECONDS))}
        self._unless_refused(
            TableName=self._stage.tables["versions"],
            Key={"pass_id": item["pass_id"]},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={**{f":{name}": value for name, value in values.items()}, **backed_up},
        )

    def _restore_registration(self, item: Mapping[str, Any]) -> bool:
        """Whether it was lost."""
        return self._unless_refused(
            TableName=self._stage.tables["registrations"],
            Key={name: item[name] for name in ("pass_id", "device_library_identifier")},
            UpdateExpression="SET registered_at = :registered_at",
            ConditionExpression="attribute_not_exists(registered_at)",
            ExpressionAttributeValues={":registered_at": {"N": str(int(time.time()))}},
        )

    def _restore_device(self, item: Mapping[str, Any]) -> None:
        """A push token that is there is newer; what the device held is added to what it holds."""
        passes = item.get("passes")
        self._dynamodb.update_item(
            TableName=self._stage.tables["devices"],
            Key={"device_library_identifier": item["device_library_identifier"]},
            UpdateExpression=(
                "SET push_token = if_not_exists(push_token, :push_token), "
                "updated_at = if_not_exists(updated_at, :updated_at)" + (" ADD passes :passes" if passes else "")
            ),
            ExpressionAttributeValues={
                ":push_token": item["push_token"],
                ":updated_at": item["updated_at"],
                **({":passes": passes} if passes else {}),
            },
        )

    def _restore_template(self, item: Mapping[str, Any]) -> None:
        """One that was pushed since stays."""
        if self._templates.current(item["name"]) is None:
            self._templates.push(item["name"], unpack(item["name"], item["zip"]), uploaded=lambda _: None)

    def _restore_image(self, item: Mapping[str, Any]) -> None:
        """A key is the hash of its content, so what is there is the same."""
        self._s3.put_object(
            Bucket=self._bucket, Key=IMAGES_PREFIX + item["key"], Body=item["png"], ContentType="image/png"
        )

    def _restore_pass(self, item: Mapping[str, Any]) -> None:
        self._dynamodb.put_item(TableName=self._stage.tables["passes"], Item=item)

    def _wake(self, registrations: Iterable[Mapping[str, Any]]) -> None:
        """Order a push to the device of each."""
        devices: defaultdict[str, set[DeviceLibraryIdentifier]] = defaultdict(set)
        for item in registrations:
            pass_type_identifier = PassId.parse(item["pass_id"]["S"]).pass_type_identifier
            devices[pass_type_identifier].add(DeviceLibraryIdentifier(item["device_library_identifier"]["S"]))
        for pass_type_identifier, lost in devices.items():
            for order in in_chunks(NotifyDevices(pass_type_identifier, tuple(sorted(lost)), time.time())):
                self._sqs.send_message(QueueUrl=self._stage.queues["push"], MessageBody=encode(order))

    def _unless_refused(self, **request: Any) -> bool:  # noqa: ANN401 - of UpdateItem
        """Whether it was carried out."""
        try:
            self._dynamodb.update_item(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _chunks(items: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(items)
    while some := list(islice(iterator, AT_ONCE)):
        yield some
