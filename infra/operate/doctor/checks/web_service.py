"""What phones meet: the URL that passes name, the gateway behind it, and a pass as it is served."""

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from botocore.exceptions import ClientError

from chalicelib.core.identifiers import PassId
from chalicelib.http.api import PKPASS
from infra.operate.doctor.context import DoctorContext, is_loopback
from infra.operate.doctor.findings import DoctorFinding, fault, warning

TIMEOUT_SECONDS = 29.0
"""As long as API Gateway waits for a function."""
TRIED_PASSES = 3
REDEPLOY = "deploy the stage again: python -m infra deploy"
SET_URL = "deploy with --web-service-url and the right one"
Url = str


def web_service_url(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """The URL in passes is one that phones take, and leads to this stage."""
    url = doctor.web_service_url
    parts = urlsplit(url)
    if parts.scheme != "https" and not (doctor.is_local and is_loopback(url)):
        yield fault(f"passes name {url}: phones call nothing but https", SET_URL)
    if parts.path.endswith("/v1"):
        yield fault(f"passes name {url}: phones append /v1 themselves, and so call /v1/v1", SET_URL)
    if is_loopback(url) and not doctor.is_local:
        yield fault(f"passes name {url}: that is each phone itself", SET_URL)
    yield from _leads_here(doctor, url)


def gateway(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """The routes answer as phones expect: an error status for nothing to do would end their updates."""
    url, stranger = doctor.web_service_url, secrets.token_hex(16)
    pass_type = next(iter(doctor.pass_types), "pass.of.nobody")
    with _browser() as http:
        try:
            listed = http.get(f"{url}/v1/devices/{stranger}/registrations/{quote(pass_type, safe='')}")
        except httpx.TransportError as error:
            yield _unreachable(url, error)
            return
        if listed.status_code != HTTPStatus.NO_CONTENT or listed.content:
            yield fault(
                f"{url}: answers {listed.status_code} where a phone that is unknown asks what changed, not 204",
                "is it this stage's API, and does its function run? See the api function's log, then deploy again",
            )
        lost = http.get(f"{url}/v1/nothing-here")
        if lost.status_code != HTTPStatus.NOT_FOUND or not _is_json(lost):
            yield fault(f"{url}: answers {lost.status_code} to an unknown path, not 404 as JSON", REDEPLOY)
        noted = http.post(f"{url}/v1/log", json={"logs": ["passwire doctor: this is a test"]})
        if noted.status_code != HTTPStatus.OK:
            yield fault(f"{url}: answers {noted.status_code} to a phone's log message, not 200", REDEPLOY)


def download(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """A pass of this stage is served whole, and says where it is updated."""
    with _browser() as http:
        for tried, (pass_id, token) in enumerate(doctor.issued_passes):
            if tried == TRIED_PASSES:
                return
            url = doctor.web_service_url
            try:
                answer = http.get(
                    f"{url}/v1/passes/{quote(pass_id.pass_type_identifier, safe='')}"
                    f"/{quote(pass_id.serial_number, safe='')}",
                    headers={"Authorization": f"ApplePass {token}"},
                )
            except httpx.TransportError as error:
                yield _unreachable(url, error)
                return
            yield from _served(doctor, pass_id, answer)


def _leads_here(doctor: DoctorContext, url: str) -> Iterator[DoctorFinding]:
    """By the API's id in the URL, or by what API Gateway says of a domain."""
    api_id = (urlsplit(doctor.stage.api_url).hostname or "").partition(".")[0]
    host = urlsplit(url).hostname or ""
    if host.startswith(f"{api_id}.execute-api.") or f"/restapis/{api_id}/" in url:
        return
    if ".execute-api." in host:
        yield fault(f"passes name {url}, but this stage's API is {doctor.stage.api_url}", SET_URL)
        return
    gateway = doctor.client("apigateway")
    try:
        mappings = gateway.get_base_path_mappings(domainName=host).get("items", [])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        yield warning(
            f"passes name {url}, which is no domain of API Gateway in this account and region",
            f"make sure that it leads to {doctor.stage.api_url}",
        )
        return
    if api_id not in {mapping["restApiId"] for mapping in mappings}:
        yield fault(
            f"passes name {url}, but that domain does not lead to this stage's API {api_id}",
            "map the domain to it in API Gateway, or deploy with --web-service-url and the right one",
        )


def _served(doctor: DoctorContext, pass_id: PassId, answer: httpx.Response) -> Iterator[DoctorFinding]:
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        yield fault(
            f"pass {pass_id}: {doctor.web_service_url} does not know its authentication token",
            "the URL leads to another stage, or the authentication keys were replaced: bring the old ones back",
        )
        return
    if answer.status_code != HTTPStatus.OK:
        yield fault(
            f"pass {pass_id}: cannot be downloaded, the answer is {answer.status_code}",
            "look for request_failed in the api function's log: it says what is wrong",
        )
        return
    kind = answer.headers.get("Content-Type", "")
    try:
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            content: dict[str, Any] = json.loads(archive.read("pass.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        yield fault(
            f"pass {pass_id}: is served as something that is no pass ({kind or 'no content type'})",
            f"the gateway's binary types are not set; {REDEPLOY}",
        )
        return
    if kind != PKPASS:
        yield fault(f"pass {pass_id}: is served as {kind or 'nothing'}, not as {PKPASS}", REDEPLOY)
    named = content.get("webServiceURL")
    if named != doctor.web_service_url:
        yield fault(
            f"pass {pass_id}: names {named} to phones, but this stage is at {doctor.web_service_url}",
            "deploy with --web-service-url and the URL that phones are to use",
        )


def _unreachable(url: str, error: httpx.TransportError) -> DoctorFinding:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return fault(
            f"{url}: its TLS certificate is not one that phones trust: {error}",
            "give the domain a certificate of a public authority, for its own name, with its intermediates",
        )
    return fault(
        f"{url}: cannot be reached: {type(error).__name__}: {error}",
        "look at the domain's DNS records, and whether this machine's network lets it through",
    )


def _browser() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_SECONDS, headers={"Accept": "*/*"})


def _is_json(answer: httpx.Response) -> bool:
    try:
        answer.json()
    except ValueError:
        return False
    return True
