"""Installs and starts the embedded AWS, ministack, and finishes what it leaves out of a deployed stack.

It pins its own botocore, so it has a virtual environment of its own. It runs functions on its own Python, so that
environment is made with the Python that packages the app.
"""

import contextlib
import fcntl
import json
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

from chalicelib.core.errors import PasswireError
from infra.deploy.chalice.data_stack import additions
from infra.deploy.chalice.gateway import put_paths
from infra.deploy.expressions import replaced
from infra.deploy.functions import set_function
from infra.deploy.resources import resources
from infra.local.processes import LOOPBACK, PROJECT, free_port, port_is_free, start_tethered, stop
from infra.stage import aws
from infra.stage.stage import Stage, snake_case

REQUIREMENTS = Path(__file__).with_name("requirements-ministack.txt")
STARTER = Path(__file__).with_name("embedded_aws.py")
ENVIRONMENT = PROJECT / ".passwire" / f"ministack-{sys.version_info.major}.{sys.version_info.minor}"
REGION = "eu-central-1"
NO_CHANGES: Mapping[str, object] = {}
START_TIMEOUT_SECONDS = 60.0
STATE = "data"
"""The folder of the data that survives a restart, in that of the embedded AWS."""


class LocalError(PasswireError):
    """The local run cannot continue; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Ministack:
    """A running embedded AWS."""

    endpoint_url: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which an AWS SDK uses it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "NO_PROXY": f"{LOOPBACK},localhost",
        }


def install(on_progress: Callable[[str], None]) -> Path:
    """Make the virtual environment unless it exists as pinned; returns the path of its Python.

    Raises:
        LocalError: pip could not install it.
    """
    stamp = ENVIRONMENT / "installed.txt"
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    with (ENVIRONMENT.parent / "ministack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be installing it
        if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
            on_progress("installing the embedded AWS, once (about half a minute)")
            venv.create(ENVIRONMENT, with_pip=True, clear=True)
            pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
            pip += ["-r", str(REQUIREMENTS)]
            done = subprocess.run(pip, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise LocalError(f"pip could not install the embedded AWS: {done.stderr.strip().splitlines()[-1]}")
            stamp.write_text(REQUIREMENTS.read_text())
    return ENVIRONMENT / "bin" / "python"


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    port: int | None,
    on_progress: Callable[[str], None],
    keep_data: bool = False,
    authority_url: str | None = None,
    strict: Mapping[str, object] | None = NO_CHANGES,
) -> Iterator[Ministack]:
    """Run an embedded AWS while the context lasts.

    Args:
        folder: for its log and its files.
        port: the port to listen on; None for a free one.
        on_progress: called with each line of progress.
        keep_data: continue with the data that the last run in this folder left, and leave it for the next one; it is
            written when the embedded AWS ends, also when this process is killed. False to begin and end without data.
        authority_url: of the authority that issues certificates of pass types; None for none.
        strict: limits of `strict/limits.py` that differ from their defaults; None to leave its refusals out.

    Raises:
        LocalError: the port is in use, or ministack did not start.
    """
    if port is not None and not port_is_free(port):
        raise LocalError(f"port {port} is in use; stop what listens there or choose another with --port")
    python = install(on_progress)
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "ministack.log"
    ministack = Ministack(f"http://{LOOPBACK}:{port}")
    own = {"BIND_HOST": LOOPBACK, "GATEWAY_PORT": str(port), "TMPDIR": str(folder)}
    own |= {"PERSIST_STATE": str(int(keep_data)), "STATE_DIR": str(folder / STATE)}
    own |= {"S3_PERSIST": str(int(keep_data)), "S3_DATA_DIR": str(folder / STATE / "s3")}
    if strict is not None:
        own["PASSWIRE_STRICT_AWS"] = json.dumps(dict(strict))
    if authority_url is not None:
        own["PASSWIRE_AUTHORITY"] = authority_url
    for leftover in folder.glob("ministack-lambda-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with log.open("wb") as output:
        process = start_tethered(
            [str(python), "-P", str(STARTER)],  # -P: it must not import the modules of the starter's folder
            environment={**ministack.environment, **own},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(ministack, process, log)
        yield ministack
    finally:
        stop(process)


def finish_gateway(stage: Stage, ministack: Ministack) -> str:
    """Finish a deployed API, and set the function's web service URL.

    Ministack ignores the binary media types and the method of the catch-all path, which are in the template. Its events
    do not contain the host of a request, as AWS's do.

    Returns:
        The API's base URL, to which `/v1/...` is appended.
    """
    api_id = stage.outputs["RestAPIId"]
    gateway = aws.client("apigateway")
    set_binary_media_types(ministack, api_id, ["*/*"])
    function = stage.outputs["APIHandlerArn"]
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    paths = resources()["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    put_paths(api_id, replaced(paths, lambda _: uri))
    gateway.create_deployment(restApiId=api_id, stageName="api")
    api_url = f"{ministack.endpoint_url}/restapis/{api_id}/api/_user_request_"
    functions = aws.client("lambda")
    variables = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=function, Environment={"Variables": {**variables, "PASSWIRE_WEB_SERVICE_URL": api_url}}
    )
    return api_url


def finish_tables(stage: Stage) -> None:
    """Set expiry and point-in-time recovery, which ministack ignores in the template."""
    dynamodb = aws.client("dynamodb")
    for table in stage.tables.values():
        dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    dynamodb.update_time_to_live(
        TableName=stage.tables["passes"],
        TimeToLiveSpecification={"Enabled": True, "AttributeName": "delete_after"},
    )


def finish_functions(stage: Stage) -> None:
    """Set which functions may send to their own queue, which ministack ignores in the template."""
    for logical_id, properties in additions().items():
        if "RecursiveLoop" in properties:
            set_function(stage.functions[snake_case(logical_id)], {"RecursiveLoop": properties["RecursiveLoop"]})


def set_binary_media_types(ministack: Ministack, api_id: str, types: list[str]) -> None:
    """Set an API's binary media types.

    Ministack wants a JSON list as the value of the patch, which boto3 refuses. AWS reads the types from the template.
    """
    body = json.dumps({"patchOperations": [{"op": "replace", "path": "/binaryMediaTypes", "value": types}]})
    request = AWSRequest(method="PATCH", url=f"{ministack.endpoint_url}/restapis/{api_id}", data=body)
    SigV4Auth(get_session().get_credentials(), "apigateway", REGION).add_auth(request)
    httpx.patch(request.url, content=body, headers=dict(request.headers), trust_env=False).raise_for_status()


def _wait(ministack: Ministack, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise LocalError(f"the embedded AWS ended while it started; see its log {log}")
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{ministack.endpoint_url}/_ministack/health", trust_env=False).raise_for_status()
            return
        time.sleep(0.1)
    raise LocalError(f"the embedded AWS did not answer within {START_TIMEOUT_SECONDS:.0f} s; see its log {log}")
