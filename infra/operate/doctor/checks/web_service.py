"""Checks of the web service that phones call: the URL in passes, the API, and the download of a pass."""

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
from chalicelib.http.api import DOCTOR_AGENT
from chalicelib.http.responses import PKPASS
from infra.operate.doctor.context import DoctorContext, is_loopback
from infra.operate.doctor.findings import DoctorFinding, fault, warning
from infra.stage.aws import error_code

TIMEOUT_SECONDS = 29.0
"""How long API Gateway waits for a function (AWS, "Amazon API Gateway quotas")."""
DOWNLOADED_PASSES = 3


def web_service_url(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that phones accept the URL in passes, and that it leads to this stage."""
    url = doctor.web_service_url
    parts = urlsplit(url)
    if parts.scheme != "https" and not (doctor.is_local and is_loopback(url)):
        yield fault(f"passes contain {url}, but phones call https URLs only", doctor.set_url())
    if parts.path.endswith("/v1"):
        yield fault(f"passes contain {url}, to which phones append /v1, and so call /v1/v1", doctor.set_url())
    if is_loopback(url) and not doctor.is_local:
        yield fault(f"passes contain a loopback URL, {url}, which phones cannot reach", doctor.set_url())
    yield from _find_other_stage(doctor, url)


def gateway(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that the routes answer as phones expect: an error status instead of 204 would end their updates."""
    url, unknown_device = doctor.web_service_url, secrets.token_hex(16)
    pass_type = next(iter(doctor.pass_types), "pass.com.example.doctor")
    with _http_client() as http:
        try:
            listed = http.get(f"{url}/v1/devices/{unknown_device}/registrations/{quote(pass_type, safe='')}")
        except httpx.TransportError as error:
            yield _unreachable(url, error)
            return
        if listed.status_code != HTTPStatus.NO_CONTENT or listed.content:
            yield fault(
                f"{url}: answers {listed.status_code}, not 204, when an unknown phone asks which passes changed",
                f"check that this is the stage's API, read {doctor.logs_of('api')}, then: {doctor.redeploy}",
            )
        unrouted = http.get(f"{url}/v1/no-such-route")
        if unrouted.status_code != HTTPStatus.NOT_FOUND or not _is_json(unrouted):
            yield fault(f"{url}: answers {unrouted.status_code} to an unknown path, not 404 with JSON", doctor.redeploy)
        logged = http.post(f"{url}/v1/log", json={"logs": ["passwire doctor: this is a test"]})
        if logged.status_code != HTTPStatus.OK:
            yield fault(f"{url}: answers {logged.status_code} to a phone's log message, not 200", doctor.redeploy)


def download(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that passes of this stage can be downloaded, and contain the URL of this stage."""
    with _http_client() as http:
        for count, (pass_id, token) in enumerate(doctor.issued_passes):
            if count == DOWNLOADED_PASSES:
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
            yield from check_download(doctor, pass_id, answer, web_service_url=url)


def check_download(
    doctor: DoctorContext, pass_id: PassId, answer: httpx.Response, *, web_service_url: str
) -> Iterator[DoctorFinding]:
    """Check the answer to a pass's download request.

    Args:
        doctor: the stage.
        pass_id: the requested pass.
        answer: the answer, with its body.
        web_service_url: the URL that the pass must contain.
    """
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        yield fault(
            f"pass {pass_id}: {web_service_url} refuses its authentication token",
            "the URL leads to another stage, or the authentication keys were replaced: restore the old keys",
        )
        return
    if answer.status_code != HTTPStatus.OK:
        yield fault(
            f"pass {pass_id}: cannot be downloaded, status {answer.status_code}",
            f"{doctor.command('logs', '--function', 'api', '--event', 'request_failed')}: it contains the cause",
        )
        return
    kind = answer.headers.get("Content-Type", "")
    try:
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            content: dict[str, Any] = json.loads(archive.read("pass.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        yield fault(
            f"pass {pass_id}: the download is not a pass ({kind or 'no content type'})",
            f"set the API's binary media types: {doctor.redeploy}",
        )
        return
    if kind != PKPASS:
        yield fault(f"pass {pass_id}: is served with content type {kind or '(none)'}, not {PKPASS}", doctor.redeploy)
    named = content.get("webServiceURL")
    if named != web_service_url:
        yield fault(
            f"pass {pass_id}: contains the URL {named}, but this stage's is {web_service_url}",
            doctor.set_url(),
        )


def _find_other_stage(doctor: DoctorContext, url: str) -> Iterator[DoctorFinding]:
    """Compare the API's id with that in the URL, or with the base path mappings of a custom domain."""
    api_id = (urlsplit(doctor.stage.api_url).hostname or "").partition(".")[0]
    host = urlsplit(url).hostname or ""
    if host.startswith(f"{api_id}.execute-api.") or f"/restapis/{api_id}/" in url:
        return
    if ".execute-api." in host:
        yield fault(f"passes contain {url}, but this stage's API is {doctor.stage.api_url}", doctor.set_url())
        return
    gateway = doctor.client("apigateway")
    try:
        mappings = gateway.get_base_path_mappings(domainName=host).get("items", [])
    except ClientError as error:
        if error_code(error) != "NotFoundException":
            raise
        yield warning(
            f"passes contain {url}, which is not a domain of API Gateway in this account and region",
            f"make sure that it leads to {doctor.stage.api_url}",
        )
        return
    if api_id not in {mapping["restApiId"] for mapping in mappings}:
        yield fault(
            f"passes contain {url}, but that domain is not mapped to this stage's API {api_id}",
            f"map the domain to that API in API Gateway, or: {doctor.set_url()}",
        )


def _unreachable(url: str, error: httpx.TransportError) -> DoctorFinding:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return fault(
            f"{url}: phones do not trust its TLS certificate: {error}",
            "install a certificate of a public authority for this domain name, with its intermediates",
            cause=f"unreachable {url}",
        )
    return fault(
        f"{url}: cannot be reached: {type(error).__name__}: {error}",
        "check the domain's DNS records, and that this machine's network allows the connection",
        cause=f"unreachable {url}",
    )


def _http_client() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_SECONDS, headers={"Accept": "*/*", "User-Agent": DOCTOR_AGENT})


def _is_json(answer: httpx.Response) -> bool:
    try:
        answer.json()
    except ValueError:
        return False
    return True
