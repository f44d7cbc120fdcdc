"""The limit: the requests of each call to DynamoDB with botocore's client, the RSA signature of a download, and nothing
else.
"""

import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

from botocore.session import get_session
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

client = get_session().create_client("dynamodb")
PASSES, VERSIONS, REGISTRATIONS, DEVICES = (
    os.environ[f"PASSWIRE_{name}_TABLE"] for name in ("PASSES", "VERSIONS", "REGISTRATIONS", "DEVICES")
)


def register(event: dict[str, Any], _: object) -> object:
    pass_id, device = _pass_id(event), event["pathParameters"]["device_library_identifier"]
    key = {"pass_id": {"S": pass_id}}
    item = client.get_item(TableName=PASSES, Key=key, ConsistentRead=True)
    now = {"N": str(int(time.time()))}
    client.transact_write_items(
        TransactItems=[
            {
                "Put": {
                    "TableName": REGISTRATIONS,
                    "Item": {**key, "device_library_identifier": {"S": device}, "registered_at": now},
                    "ConditionExpression": "attribute_not_exists(pass_id)",
                }
            },
            {
                "Update": {
                    "TableName": DEVICES,
                    "Key": {"device_library_identifier": {"S": device}},
                    "UpdateExpression": "SET push_token = :token, updated_at = :now ADD passes :passes",
                    "ExpressionAttributeValues": {":token": {"S": device}, ":now": now, ":passes": {"SS": [pass_id]}},
                }
            },
        ]
    )
    return item, client.get_item(TableName=VERSIONS, Key=key, ConsistentRead=True)


def list_changed(event: dict[str, Any], _: object) -> object:
    device = event["pathParameters"]["device_library_identifier"]
    row = client.get_item(TableName=DEVICES, Key={"device_library_identifier": {"S": device}}, ConsistentRead=True)[
        "Item"
    ]
    held = row["passes"]["SS"]
    return client.batch_get_item(
        RequestItems={
            VERSIONS: {"Keys": [{"pass_id": {"S": pass_id}} for pass_id in held], "ConsistentRead": True},
            REGISTRATIONS: {
                "Keys": [{"pass_id": {"S": pass_id}, "device_library_identifier": {"S": device}} for pass_id in held],
                "ConsistentRead": True,
            },
        }
    )


def download(event: dict[str, Any], _: object) -> object:
    key = {"pass_id": {"S": _pass_id(event)}}
    version = client.get_item(TableName=VERSIONS, Key=key, ConsistentRead=True)
    item = client.get_item(TableName=PASSES, Key=key, ConsistentRead=True)
    return version, item, _private_key().sign(b"attributes", PKCS1v15(), SHA256())


@cache
def _private_key() -> RSAPrivateKey:
    pem = Path(json.loads(os.environ["PEER_CERTIFICATES"])["key"]).read_bytes()
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return key


def _pass_id(event: dict[str, Any]) -> str:
    parameters = event["pathParameters"]
    return f"{parameters['pass_type_identifier']}/{parameters['serial_number']}"
