"""The web service as many teams write it: FastAPI, Mangum, boto3's resources, and cryptography's PKCS#7 builder."""

import base64
import hashlib
import hmac
import io
import json
import os
import time
import zipfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Any

import boto3
from boto3.dynamodb.types import TypeSerializer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7
from fastapi import FastAPI, Header, Response  # type: ignore[import-not-found]  # installed beside this file
from listing import changed_passes  # type: ignore[import-not-found]  # beside this file
from mangum import Mangum  # type: ignore[import-not-found]
from pydantic import BaseModel

KEY_ID, KEY = os.environ["PEER_KEY_ID"], bytes.fromhex(os.environ["PEER_KEY"])
CHAIN = json.loads(os.environ["PEER_CERTIFICATES"])
FOLDER = Path(os.environ["PEER_TEMPLATE"])
TABLES = {name: os.environ[f"PASSWIRE_{name}_TABLE"] for name in ("PASSES", "VERSIONS", "REGISTRATIONS", "DEVICES")}

app = FastAPI()
dynamodb = boto3.resource("dynamodb")
passes, versions = (dynamodb.Table(TABLES[name]) for name in ("PASSES", "VERSIONS"))
serialize = TypeSerializer().serialize
files = {path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
template = json.loads(files.pop("pass.json"))
certificate, intermediate = (
    x509.load_pem_x509_certificate(Path(CHAIN[name]).read_bytes()) for name in ("pass_type", "intermediate")
)
private_key: Any = serialization.load_pem_private_key(Path(CHAIN["key"]).read_bytes(), None)

DEVICE = "/v1/devices/{device}/registrations/{pass_type}"
Authorization = Annotated[str, Header()]


class Registration(BaseModel):
    pushToken: str  # noqa: N815 - Apple's name


def authorized(pass_id: str, authorization: str) -> bool:
    digest = hmac.digest(KEY, pass_id.encode(), hashlib.sha256)
    token = f"{KEY_ID}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    return hmac.compare_digest(authorization, f"ApplePass {token}")


@app.post(DEVICE + "/{serial}")  # type: ignore[untyped-decorator]
def register(device: str, pass_type: str, serial: str, body: Registration, authorization: Authorization) -> Response:
    pass_id = f"{pass_type}/{serial}"
    item = passes.get_item(Key={"pass_id": pass_id}, ConsistentRead=True).get("Item")
    if item is None or not authorized(pass_id, authorization):
        return Response(status_code=401)
    now = int(time.time())
    registration = {"pass_id": pass_id, "device_library_identifier": device, "registered_at": now}
    values = {":token": body.pushToken, ":now": now, ":passes": {pass_id}}
    dynamodb.meta.client.transact_write_items(
        TransactItems=[
            {
                "Put": {
                    "TableName": TABLES["REGISTRATIONS"],
                    "Item": registration,
                    "ConditionExpression": "attribute_not_exists(pass_id)",
                }
            },
            {
                "Update": {
                    "TableName": TABLES["DEVICES"],
                    "Key": {"device_library_identifier": device},
                    "UpdateExpression": "SET push_token = :token, updated_at = :now ADD passes :passes",
                    "ExpressionAttributeValues": values,
                }
            },
        ]
    )
    versions.get_item(Key={"pass_id": pass_id}, ConsistentRead=True)
    return Response(status_code=201)


@app.get(DEVICE, response_model=None)  # type: ignore[untyped-decorator]
def list_changed(device: str, pass_type: str, passesUpdatedSince: int | None = None) -> Any:  # noqa: ANN401, N803
    return changed_passes(dynamodb, device, pass_type, passesUpdatedSince) or Response(status_code=204)


@app.get("/v1/passes/{pass_type}/{serial}")  # type: ignore[untyped-decorator]
def download(pass_type: str, serial: str, authorization: Authorization) -> Response:
    pass_id = f"{pass_type}/{serial}"
    version = versions.get_item(Key={"pass_id": pass_id}, ConsistentRead=True).get("Item")
    item = passes.get_item(Key={"pass_id": pass_id}, ConsistentRead=True).get("Item")
    if item is None or not authorized(pass_id, authorization):
        return Response(status_code=401)
    modified_at = datetime.fromtimestamp(int(version["modified_at"]), UTC) if version else datetime.now(UTC)
    headers = {"Last-Modified": format_datetime(modified_at, usegmt=True)}
    content = built(pass_type, serial, item, authorization.removeprefix("ApplePass "))
    return Response(content, media_type="application/vnd.apple.pkpass", headers=headers)


def built(pass_type: str, serial: str, item: dict[str, Any], token: str) -> bytes:
    """Fill the template, sign the manifest, and pack everything."""
    content = json.loads(json.dumps(template))
    content |= {"passTypeIdentifier": pass_type, "serialNumber": serial, "authenticationToken": token}
    content |= {"teamIdentifier": "DEVTEAM001", "webServiceURL": "https://example.com"}
    for group in content["boardingPass"].values():
        for field in group if isinstance(group, list) else ():
            field["value"] = item["fields"].get(field["key"], field["value"])
    members = {**files, "pass.json": json.dumps(content).encode()}
    digests = {name: hashlib.sha1(data).hexdigest() for name, data in members.items()}  # noqa: S324 - Apple's choice
    members["manifest.json"] = json.dumps(digests).encode()
    members["signature"] = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(members["manifest.json"])
        .add_signer(certificate, private_key, hashes.SHA256())
        .add_certificate(intermediate)
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


handler = Mangum(app, lifespan="off")
