"""Tests of the doctor's check of a downloaded pass."""

import io
import json
import zipfile

import httpx
import pytest

from chalicelib.core.identifiers import PassId
from chalicelib.http.responses import PKPASS
from infra.operate.doctor.checks.web_service import check_download
from infra.operate.doctor.context import DoctorContext
from infra.stage.stage import Stage

URL = "https://passes.example.com"
PASS = PassId("pass.com.acme.boarding", "1")
DOCTOR = DoctorContext(Stage("dev", {"ApiUrl": URL}))


def archive(**content: object) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("pass.json", json.dumps(content))
    return buffer.getvalue()


def found(content: bytes, *, status: int = 200, kind: str = PKPASS) -> list[str]:
    answer = httpx.Response(status, content=content, headers={"Content-Type": kind} if kind else {})
    return [finding.found for finding in check_download(DOCTOR, PASS, answer, web_service_url=URL)]


def test_pass_of_this_stage_has_no_findings() -> None:
    assert found(archive(webServiceURL=URL)) == []


def test_pass_with_another_url_is_found() -> None:
    other = archive(webServiceURL="https://old.example.com")
    assert found(other) == [f"pass {PASS}: contains the URL https://old.example.com, but this stage's is {URL}"]


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, f"{URL} refuses its authentication token"), (500, "cannot be downloaded, status 500")],
)
def test_error_status_is_found(status: int, message: str) -> None:
    assert found(b"", status=status) == [f"pass {PASS}: {message}"]


def test_download_that_is_not_a_pass_is_found() -> None:
    """API Gateway sends base64 text if the API has no binary media types."""
    assert found(b"UEsDBBQ", kind="text/plain") == [f"pass {PASS}: the download is not a pass (text/plain)"]


def test_wrong_content_type_is_found() -> None:
    (message,) = found(archive(webServiceURL=URL), kind="application/zip")
    assert message == f"pass {PASS}: is served with content type application/zip, not {PKPASS}"
