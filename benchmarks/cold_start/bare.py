"""The limit: a function that only makes one GetItem with botocore's client."""

import os
from typing import Any

from botocore.session import get_session

client = get_session().create_client("dynamodb")


def handler(event: dict[str, Any], _: object) -> object:
    device = event["pathParameters"]["device_library_identifier"]
    return client.get_item(
        TableName=os.environ["PASSWIRE_DEVICES_TABLE"],
        Key={"device_library_identifier": {"S": device}},
        ConsistentRead=True,
    )
