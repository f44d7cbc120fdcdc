"""Sends events to a webhook, signed as "Standard Webhooks" specifies (https://www.standardwebhooks.com).

A Lambda function of a queue: an event that the webhook does not accept stays in the queue and is sent again.
"""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request

import boto3

TIMEOUT_SECONDS = 10
KEEP_SECONDS = 300
_secret = {"value": b"", "read_at": 0.0}


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a failure: urllib would repeat the request as a GET without its body."""

    def redirect_request(self, *_args):
        return None


_opener = urllib.request.build_opener(NoRedirects)


def handler(event, _context):
    """Send the events of a batch; return those to receive again."""
    failed = []
    for record in event["Records"]:
        try:
            send(json.loads(record["body"]))
        except Exception as error:
            print(json.dumps({"message_id": record["messageId"], "error": str(error)}))
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def send(event):
    """Send one event of EventBridge. Raises an exception if the webhook does not answer with a 2xx status."""
    detail = event["detail"]
    body = json.dumps({"type": event["detail-type"], "timestamp": detail["time"], "data": detail}).encode()
    headers = signed(secret(), detail["id"], int(time.time()), body)
    request = urllib.request.Request(os.environ["WEBHOOK_URL"], body, {"Content-Type": "application/json", **headers})
    _opener.open(request, timeout=TIMEOUT_SECONDS).close()


def signed(key, message_id, timestamp, body):
    """Return the headers that sign a body."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def secret():
    """Return the key, which is read again every few minutes, so that a new one needs no deployment."""
    if time.monotonic() - _secret["read_at"] > KEEP_SECONDS or not _secret["value"]:
        stored = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["WEBHOOK_SECRET"])
        _secret["value"] = base64.b64decode(stored["SecretString"].removeprefix("whsec_"))
        _secret["read_at"] = time.monotonic()
    return _secret["value"]
