"""The embedded AWS: ministack in a virtual environment and a process of its own, and what it does unlike AWS.

It pins its own botocore, so it cannot share ours; and it runs functions on its own Python, so it is built with the one
that packages the app.
"""

import contextlib
import json
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


class LocalError(PasswireError):
    """The local run cannot go on; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Ministack:
    """A running embedded AWS."""

    endpoint_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What makes any AWS SDK talk to it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "NO_PROXY": f"{LOOPBACK},localhost",
        }


def install(on_progress: Callable[[str], None]) -> Path:
    """Make the virtual environment if it is not there as pinned; its Python.

    Raises:
        LocalError: pip could not install it.
    """
    stamp = ENVIRONMENT / "installed.txt"
    if not stamp.exists() or stamp.read_text() != REQUIREMENTS.read_text():
        on_progress("installing the embedded AWS, once")
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
    strict: Mapping[str, object] | None = NO_CHANGES,
) -> Iterator[Ministack]:
    """An embedded AWS for as long as the context lasts; it forgets everything afterwards.

    Args:
        folder: for its log and its files.
        port: to listen on; None for any that is free.
        on_progress: takes a line of progress.
        strict: limits of `strict_aws.py` that differ from their defaults; None for an AWS that refuses less.

    Raises:
        LocalError: the port is taken, or it did not start.
    """
    if port is not None and not port_is_free(port):
        raise LocalError(f"port {port} is in use; stop what listens there or choose another with --port")
    python = install(on_progress)
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "ministack.log"
    ministack = Ministack(f"http://{LOOPBACK}:{port}")
    own = {"BIND_HOST": LOOPBACK, "GATEWAY_PORT": str(port), "TMPDIR": str(folder), "PERSIST_STATE": "0"}
    if strict is not None:
        own["PASSWIRE_STRICT_AWS"] = json.dumps(dict(strict))
    with log.open("wb") as output:
        process = start_tethered(
            [str(python), "-P", str(STARTER)],  # -P: what stands beside the starter is not for it to import
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
    """Do what ministack leaves out of a deployed API, and tell the function where it is reached.

    It ignores the API's binary media types and the catch-all's method, which stand in the template; and its events do
    not name the host that a request came in by, as AWS's do.

    Returns:
        The API's base URL, which `/v1/...` follows.
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
    """Set what stands in the template and ministack leaves out: expiry, and recovery to a point in time."""
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
    """Set what stands in the template and ministack leaves out: which functions may send into their own queue."""
    for logical_id, properties in additions().items():
        if "RecursiveLoop" in properties:
            set_function(stage.functions[snake_case(logical_id)], {"RecursiveLoop": properties["RecursiveLoop"]})


def set_binary_media_types(ministack: Ministack, api_id: str, types: list[str]) -> None:
    """A JSON list as the patch's value, which boto3 would refuse; AWS takes them from the template."""
    body = json.dumps({"patchOperations": [{"op": "replace", "path": "/binaryMediaTypes", "value": types}]})
    request = AWSRequest(method="PATCH", url=f"{ministack.endpoint_url}/restapis/{api_id}", data=body)
    SigV4Auth(get_session().get_credentials(), "apigateway", REGION).add_auth(request)
    httpx.patch(request.url, content=body, headers=dict(request.headers), trust_env=False).raise_for_status()


def _wait(ministack: Ministack, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise LocalError(f"the embedded AWS ended at its start; its log is {log}")
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{ministack.endpoint_url}/_ministack/health", trust_env=False).raise_for_status()
            return
        time.sleep(0.1)
    raise LocalError(f"the embedded AWS did not answer within {START_TIMEOUT_SECONDS:.0f} s; its log is {log}")
