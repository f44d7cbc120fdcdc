"""The first event of each function, and the passes and registrations that these events are about."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import boto3
import httpx
from boto3.dynamodb.types import TypeSerializer

from chalicelib.aws.secrets import Secrets
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.core.links import Link, sign_link
from chalicelib.updates.push_tasks import NotifyDevices, encode, in_chunks
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.support.in_process import gateway_event
from tests.support.routes import DEVICE, LINK, PASS, REGISTRATION

EVERY_DAY = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-25T00:00:00Z",
    "region": "eu-central-1",
    "resources": ["arn:aws:events:eu-central-1:123456789012:rule/watch"],
    "detail": {},
}
"""An event of EventBridge (AWS, "Using AWS Lambda with Amazon EventBridge")."""
PASSES = 3
"""The number of passes that the device holds."""
_SERIALIZER = TypeSerializer()


@dataclass(frozen=True)
class Calls:
    """A function and the events to call it with.

    Args:
        function: its role in the local run.
        handler: its name in app.py.
        events: the event of the cold start, then those of warm calls.
    """

    function: str
    handler: str
    events: tuple[dict[str, Any], ...]


def first_calls(stack: LocalRun, *, warm: int = 0, queued_devices: int = 1) -> dict[str, Calls]:
    """Make the calls of each flow, by name: a phone holds three passes, one changes, and another phone adds it.

    Args:
        stack: the local run.
        warm: the number of calls after the first one.
        queued_devices: the number of devices in the push queue's event, in push tasks of 500.
    """
    serial_numbers = [secrets.token_hex(8) for _ in range(PASSES)]
    items = [_writes(stack, serial_number) for serial_number in serial_numbers]
    phone = Phone()
    authorizations = [_authorization(stack, serial_number) for serial_number in serial_numbers]
    for serial_number, authorization in zip(serial_numbers, authorizations, strict=True):
        url = f"{stack.api_url}/v1/passes/{stack.pass_type_identifier}/{serial_number}"
        phone.adds(httpx.get(url, headers=authorization, timeout=30).raise_for_status().content)
    phone.close()
    authorization = authorizations[0]
    one = (stack.pass_type_identifier, quote(serial_numbers[0]))
    calls = range(1 + warm)
    return {
        "register": Calls(
            "api",
            "app",
            tuple(
                gateway_event(
                    "POST",
                    REGISTRATION,
                    secrets.token_hex(16),
                    *one,
                    headers={"Content-Type": "application/json", **authorization},
                    body=json.dumps({"pushToken": secrets.token_hex(32)}).encode(),
                )
                for _ in calls
            ),
        ),
        "list": Calls(
            "api",
            "app",
            tuple(
                gateway_event("GET", DEVICE, phone.device_library_identifier, stack.pass_type_identifier) for _ in calls
            ),
        ),
        "download": Calls("api", "app", tuple(gateway_event("GET", PASS, *one, headers=authorization) for _ in calls)),
        "link": Calls(
            "api", "app", tuple(gateway_event("GET", LINK, _link_token(stack, serial_numbers[0])) for _ in calls)
        ),
        "push": Calls("push", "push", tuple(_change(items[0], number) for number in calls)),
        "push_worker": Calls("push_worker", "push_worker", (_tasks(stack, queued_devices),) * len(calls)),
        "publish_events": Calls(
            "publish_events",
            "publish_events",
            tuple(registration_event(items[0]["pass_id"], number + 1) for number in calls),
        ),
        "check_certificates": Calls("check_certificates", "check_certificates", (EVERY_DAY,) * len(calls)),
    }


def registration_event(pass_id: str, number: int, *, device: str = "", removed: bool = False) -> dict[str, Any]:
    """Make the event of the registrations table's stream for a new registration, or its removal."""
    device = device or secrets.token_hex(16)
    keys = {"pass_id": {"S": pass_id}, "device_library_identifier": {"S": device}}
    image = {**keys, "registered_at": {"N": str(int(time.time()))}, "counted": {"N": "1"}}
    return {
        "Records": [
            {
                "eventName": "REMOVE" if removed else "INSERT",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": keys,
                    "SequenceNumber": str(number),
                    "ApproximateCreationDateTime": time.time(),
                    "OldImage" if removed else "NewImage": image,
                },
            }
        ]
    }


def version_event(
    key: str,
    number: int,
    *,
    announced: int = 0,
    revision: int = 0,
    note: Mapping[str, object] | None = None,
    noted_at: int = 0,
) -> dict[str, Any]:
    """Make the event of the versions table's stream for a new row."""
    values = {"announced": announced, "revision": revision, "noted_at": noted_at}
    image = {name: {"N": str(value)} for name, value in values.items() if value}
    if note is not None:
        image["note"] = {"S": json.dumps(note)}
    return {
        "Records": [
            {
                "eventName": "INSERT",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"pass_id": {"S": key}},
                    "SequenceNumber": str(number),
                    "ApproximateCreationDateTime": time.time(),
                    "NewImage": {"pass_id": {"S": key}, **image},
                },
            }
        ]
    }


def environment(stack: LocalRun, function: str) -> dict[str, str]:
    """The environment variables that Lambda sets for the deployed function."""
    configuration = boto3.client("lambda").get_function_configuration(FunctionName=stack.functions[function])
    variables: dict[str, str] = configuration["Environment"]["Variables"]
    return {**variables, **stack.credentials, "AWS_LAMBDA_FUNCTION_NAME": stack.functions[function]}


def _writes(stack: LocalRun, serial_number: str) -> dict[str, Any]:
    item = {
        "pass_id": f"{stack.pass_type_identifier}/{serial_number}",
        "template": stack.template,
        "fields": {"gate": "A7"},
    }
    boto3.resource("dynamodb").Table(stack.tables["passes"]).put_item(Item=item)
    return item


def _authorization(stack: LocalRun, serial_number: str) -> dict[str, str]:
    pass_id = PassId(stack.pass_type_identifier, serial_number)
    token = Secrets(stage=stack.stage).authentication_keys().issue(pass_id, item_token=None).value
    return {"Authorization": f"ApplePass {token}"}


def _link_token(stack: LocalRun, serial_number: str) -> str:
    keys = Secrets(stage=stack.stage).authentication_keys()
    return sign_link(keys, Link((PassId(stack.pass_type_identifier, serial_number),), int(time.time()) + 3600))


def _tasks(stack: LocalRun, count: int) -> dict[str, Any]:
    """Make a batch of the push queue for `count` devices, and write their rows."""
    devices = [DeviceLibraryIdentifier(f"{number:032x}") for number in range(count)]
    with boto3.resource("dynamodb").Table(stack.tables["devices"]).batch_writer() as rows:
        for device in devices:
            rows.put_item(
                Item={
                    "device_library_identifier": device.value,
                    "push_token": device.value * 2,
                    "passes": {f"{stack.pass_type_identifier}/queued"},
                    "updated_at": int(time.time() * 1000),
                }
            )
    task = NotifyDevices(stack.pass_type_identifier, tuple(devices), time.time())
    return {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": str(number),
                "attributes": {"ApproximateReceiveCount": "1"},
                "body": encode(piece),
                "eventSource": "aws:sqs",
            }
            for number, piece in enumerate(in_chunks(task))
        ]
    }


def _change(item: dict[str, Any], number: int) -> dict[str, Any]:
    """Make the stream's event of a change."""
    old, new = ({**item, "fields": {"gate": f"B{gate}"}} for gate in (number, number + 1))
    return {
        "Records": [
            {
                "eventName": "MODIFY",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"pass_id": {"S": item["pass_id"]}},
                    "SequenceNumber": str(number),
                    "ApproximateCreationDateTime": time.time(),
                    "OldImage": _SERIALIZER.serialize(old)["M"],
                    "NewImage": _SERIALIZER.serialize(new)["M"],
                },
            }
        ]
    }
