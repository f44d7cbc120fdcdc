"""Parses Lambda events into frozen values, so that no flow takes an AWS dictionary.

A record that cannot be parsed becomes an invalid value that says why, so that it does not affect the other records of
its batch. Imports are local because each function receives only one kind of event.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from chalicelib.core.errors import loggable, shorten

if TYPE_CHECKING:
    from chalicelib.updates.changes import InvalidRecord, StreamRecord
    from chalicelib.updates.events import UnreadableRecord
    from chalicelib.updates.holders import RegistrationRecord, StreamRow
    from chalicelib.updates.messages import InvalidMessage, QueueMessage
    from chalicelib.updates.pass_events import VersionImage, VersionRecord

R = TypeVar("R")
Event = Mapping[str, Any]
"""An event of Lambda as a dictionary with `Records`."""
EMPTY_BODY = "(empty)"
"""Body of the dead letter of a message that has no body; SQS accepts no empty one."""


def stream_records(event: Event) -> "list[StreamRecord | InvalidRecord]":
    """Parse a DynamoDB stream event (AWS, "DynamoDB Streams: Record"), in its order."""
    from chalicelib.updates.changes import WITHOUT_KEY, InvalidRecord

    records: list[StreamRecord | InvalidRecord] = []
    for record in event["Records"]:
        key = str(_at(record, "dynamodb", "Keys", "pass_id", "S") or WITHOUT_KEY)
        try:
            records.append(_stream_record(key, record["dynamodb"]))
        except Exception as error:  # noqa: BLE001 - a record can raise anything; the others must still be handled
            sequence_number = str(_at(record, "dynamodb", "SequenceNumber") or "")
            records.append(InvalidRecord(key, sequence_number, shorten(type(error).__name__)))
    return records


def registration_records(event: Event) -> "list[RegistrationRecord | UnreadableRecord]":
    """Parse an event of the registrations table's stream, in its order."""
    return _readable_or_not(event, _registration_record)


def version_records(event: Event) -> "list[VersionRecord | UnreadableRecord]":
    """Parse an event of the versions table's stream, in its order."""
    return _readable_or_not(event, _version_record)


def _readable_or_not(event: Event, parse: Callable[[Any], R]) -> "list[R | UnreadableRecord]":
    """Parse each record of a stream; one that raises becomes an `UnreadableRecord`."""
    from chalicelib.updates.events import UnreadableRecord

    records: list[R | UnreadableRecord] = []
    for record in event["Records"]:
        try:
            records.append(parse(record["dynamodb"]))
        except Exception as error:  # noqa: BLE001 - a record can raise anything; the others must still be handled
            sequence_number = str(_at(record, "dynamodb", "SequenceNumber") or "")
            records.append(UnreadableRecord(sequence_number, shorten(type(error).__name__)))
    return records


def is_of_registrations(event: Event) -> bool:
    """Return True for an event of the registrations table's stream, False for one of the versions table's.

    Both invoke the same function. Only keys of registrations contain a device.
    """
    return any(_at(r, "dynamodb", "Keys", "device_library_identifier") is not None for r in event["Records"])


def queue_messages(event: Event) -> "list[QueueMessage | InvalidMessage]":
    """Parse an SQS event of the push queue (AWS, "Using Lambda with Amazon SQS"), in its order."""
    from chalicelib.updates.messages import InvalidMessage

    messages: list[QueueMessage | InvalidMessage] = []
    for record in event["Records"]:
        try:
            messages.append(_queue_message(record))
        except Exception as error:  # noqa: BLE001 - a record can raise anything; the others must still be handled
            message_id = str(_at(record, "messageId") or "")
            body = str(_at(record, "body") or EMPTY_BODY)
            messages.append(InvalidMessage(message_id, body, loggable(error)))
    return messages


def _stream_record(key: str, change: Mapping[str, Any]) -> "StreamRecord":
    from chalicelib.core.attributes import plain_item
    from chalicelib.updates.changes import StreamRecord

    return StreamRecord(
        key=key,
        sequence_number=str(change.get("SequenceNumber", "")),
        written_at=float(change.get("ApproximateCreationDateTime", 0)),
        old=plain_item(change["OldImage"]) if "OldImage" in change else None,
        new=plain_item(change["NewImage"]) if "NewImage" in change else None,
    )


def _registration_record(change: Mapping[str, Any]) -> "RegistrationRecord":
    from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
    from chalicelib.updates.holders import RegistrationRecord

    return RegistrationRecord(
        pass_id=PassId.parse(change["Keys"]["pass_id"]["S"]),
        device=DeviceLibraryIdentifier(change["Keys"]["device_library_identifier"]["S"]),
        sequence_number=str(change["SequenceNumber"]),
        written_at=float(change.get("ApproximateCreationDateTime", 0)),
        old=_registration(change["OldImage"]) if "OldImage" in change else None,
        new=_registration(change["NewImage"]) if "NewImage" in change else None,
    )


def _version_record(change: Mapping[str, Any]) -> "VersionRecord":
    from chalicelib.updates.pass_events import VersionRecord

    return VersionRecord(
        key=str(change["Keys"]["pass_id"]["S"]),
        sequence_number=str(change["SequenceNumber"]),
        written_at=float(change.get("ApproximateCreationDateTime", 0)),
        old=_version(change.get("OldImage", {})),
        new=_version(change.get("NewImage", {})),
    )


def _version(image: Mapping[str, Any]) -> "VersionImage":
    from chalicelib.updates.pass_events import VersionImage

    refused = image["refused"]["M"] if "refused" in image else None
    return VersionImage(
        announced=_number(image, "announced"),
        revision=_number(image, "revision"),
        deleted=bool(_at(image, "deleted", "BOOL")),
        refusal=(refused["reason"]["S"], refused["template"]["S"], int(refused["refused_at"]["N"]))
        if refused is not None
        else None,
        personalized=bool(_at(image, "personalized", "BOOL")),
        silent=_number(image, "silent"),
        note=str(_at(image, "note", "S") or ""),
        noted_at=_number(image, "noted_at"),
    )


def _registration(image: Mapping[str, Any]) -> "StreamRow":
    from chalicelib.core.wallets import Wallet
    from chalicelib.updates.holders import StreamRow

    return StreamRow(
        registered_at=int(image["registered_at"]["N"]),
        counted="counted" in image,
        silent=bool(_at(image, "silent", "BOOL")),
        wallet=str(_at(image, "wallet", "S") or Wallet.APPLE.value),
    )


def _number(image: Mapping[str, Any], name: str) -> int:
    return int(image[name]["N"]) if name in image else 0


def _queue_message(record: Mapping[str, Any]) -> "QueueMessage":
    from chalicelib.updates.attempts import attempts_of
    from chalicelib.updates.messages import QueueMessage
    from chalicelib.updates.push_tasks import decode

    return QueueMessage(
        message_id=str(record["messageId"]),
        receipt_handle=str(record["receiptHandle"]),
        receive_count=int(record["attributes"]["ApproximateReceiveCount"]),
        task=decode(record["body"]),
        attempts=attempts_of(record["body"]),
    )


def _at(value: object, *path: str) -> object:
    """Return the value at a path of mappings; None if a part of the path is missing or not a mapping."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
