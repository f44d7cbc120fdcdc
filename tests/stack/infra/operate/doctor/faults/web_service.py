"""Faults of the URL in passes, of the API behind it, and of downloads."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from infra.local.ministack import Ministack, set_binary_media_types
from tests.stack.infra.operate.doctor.deployment import (
    UNREACHED,
    Break,
    Deployment,
    Fault,
    keys,
    refused_item,
    variables,
)


def url(text: str) -> Break:
    """Make passes contain this URL."""
    return partial(variables, role="api", change=lambda before, _: {**before, "PASSWIRE_WEB_SERVICE_URL": text})


@contextmanager
def binary_types(deployment: Deployment) -> Iterator[None]:
    """Remove the API's binary media types, which are missing until `finish` has run."""
    api_id = deployment.stage.outputs["RestAPIId"]
    ministack = Ministack(deployment.local.aws_endpoint_url)
    set_binary_media_types(ministack, api_id, [])
    try:
        yield
    finally:
        set_binary_media_types(ministack, api_id, ["*/*"])


def missing_api(before: dict[str, str], deployment: Deployment) -> dict[str, str]:
    """Name an API that does not exist in the stage's API Gateway."""
    return {
        **before,
        "PASSWIRE_WEB_SERVICE_URL": deployment.local.aws_endpoint_url + "/restapis/unknown/api/_user_request_",
    }


def untrusted(before: dict[str, str], deployment: Deployment) -> dict[str, str]:
    """Name a server whose TLS certificate no phone trusts."""
    return {**before, "PASSWIRE_WEB_SERVICE_URL": deployment.local.apns_url}


NEW_KEYS = json.dumps({"keys": [{"id": "9", "key": "A" * 43 + "="}]})
FAULTS: dict[str, Fault] = {
    "http": ("web-service-url", url("http://passes.example.com"), "but phones call https URLs only"),
    "/v1": ("web-service-url", url("https://passes.example.com/v1"), "and so call /v1/v1"),
    "another API": (
        "web-service-url",
        url("https://zzz.execute-api.eu-central-1.amazonaws.com/api"),
        "but this stage's API is",
    ),
    "a domain of another account": (
        "web-service-url",
        url("https://passes.example.com"),
        "not a domain of API Gateway",
    ),
    "no such API": ("gateway", partial(variables, role="api", change=missing_api), "not 204"),
    "an API out of reach": ("gateway", url(UNREACHED), "cannot be reached: ConnectError"),
    "an untrusted API": (
        "gateway",
        partial(variables, role="api", change=untrusted),
        "phones do not trust its TLS certificate",
    ),
    "binary types lost": ("download", binary_types, "the download is not a pass"),
    "new authentication keys": ("download", partial(keys, text=NEW_KEYS), "refuses its authentication token"),
    "a pass that cannot be made": (
        "download",
        partial(refused_item, fields={"unknown": "x"}),
        "cannot be downloaded, status 500",
    ),
}
