"""Makes the AWS clients of the tooling and explains AWS's errors: the only place in `infra` that calls `boto3`.

Credentials, region and endpoint (`AWS_ENDPOINT_URL`) come from the environment, as for every AWS SDK.
"""

import os
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.session import get_session

if TYPE_CHECKING:
    from botocore.config import Config

INVALID_CREDENTIALS_CODES = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
ACCESS_DENIED_CODES = {"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation"}
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
NOT_FOUND_CODES = {"404", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFoundException"}
"""S3 answers a HEAD request without a body, so that its code is the HTTP status."""
CONDITION_FAILED = "ConditionalCheckFailedException"
TRANSACTION_CONFLICT = "TransactionConflictException"

CONFLICT_ATTEMPTS = 6
CONFLICT_BACKOFF_SECONDS = 0.02
AMAZON_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
"""Domains of AWS's own endpoints, including private endpoints of a VPC."""

_IAM_ACTIONS = {"HeadBucket": "s3:ListBucket", "HeadObject": "s3:GetObject"}
"""The IAM action of an operation whose refusal has no text, because the response to a HEAD request has no body."""
_DENIED_ACTION = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")
_brief: "ContextVar[Config | None]" = ContextVar("configuration of clients that answer briefly", default=None)
_creating = threading.Lock()
"""boto3's default session is not thread-safe while it creates a client."""


@contextmanager
def selected(*, profile: str | None, region: str | None) -> Iterator[None]:
    """Select the profile and the region of every AWS client of this process, by its environment variables.

    botocore reads `AWS_DEFAULT_REGION` alone. As with the AWS CLI, `AWS_REGION` takes precedence over it (AWS,
    "Environment variables to configure the AWS CLI"), and a profile that is named takes precedence over keys in the
    environment.

    Args:
        profile: a profile of the shared configuration files; None for that of the environment.
        region: such as `eu-central-1`; None for that of the environment or the profile.
    """
    before = dict(os.environ)
    if profile is not None:
        os.environ["AWS_PROFILE"] = profile
        for name in KEY_VARIABLES:
            os.environ.pop(name, None)
    if chosen := region or os.environ.get("AWS_REGION"):
        os.environ.update(dict.fromkeys(REGION_VARIABLES, chosen))
    try:
        yield
    finally:
        for name in ("AWS_PROFILE", *KEY_VARIABLES, *REGION_VARIABLES):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


@contextmanager
def briefly() -> Iterator[None]:
    """Within the context, have AWS answer within seconds or not at all: a person waits for the answer at every key."""
    from botocore.config import Config  # noqa: PLC0415 - only completion needs it

    config = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1})
    before = _brief.set(config)
    try:
        yield
    finally:
        _brief.reset(before)


def profiles() -> list[str]:
    """Return the names of the profiles in the shared configuration files."""
    return list(get_session().available_profiles)


def client(service: str, config: "Config | None" = None) -> Any:  # noqa: ANN401 - boto3 creates clients at run time
    """Create a client, such as `client("s3")`.

    Args:
        service: as botocore names it.
        config: retries, timeouts, connections; botocore's defaults if None.
    """
    brief = _brief.get()
    with _creating:
        return _boto3().client(service, config=config.merge(brief) if config and brief else config or brief)


def resource(service: str, config: "Config | None" = None) -> Any:  # noqa: ANN401 - boto3 creates it at run time
    """Create boto3's object-oriented client of a service, such as `resource("dynamodb").Table(name)`."""
    with _creating:
        return _boto3().resource(service, config=config)


def retry_conflicts(dynamodb: Any) -> Any:  # noqa: ANN401 - a boto3 client
    """Have a DynamoDB client repeat a write that was refused with `TransactionConflictException`.

    botocore does not repeat it. The service writes pass and device rows in transactions of a few milliseconds, so that
    a single-item write of a command can meet one (AWS, "Amazon DynamoDB Transactions: How it works").

    Args:
        dynamodb: a boto3 client; it is changed.

    Returns:
        The same client.
    """
    dynamodb.meta.events.register("needs-retry.dynamodb", _seconds_until_retry)
    return dynamodb


def account_and_region() -> tuple[str, str]:
    """Return the account id and the region that the environment's credentials lead to."""
    sts = client("sts")
    return str(sts.get_caller_identity()["Account"]), str(sts.meta.region_name)


def partition() -> str:
    """Return the partition of the account: `aws`, `aws-cn`, `aws-us-gov`."""
    return str(client("sts").get_caller_identity()["Arn"].split(":")[1])


def partition_of_region(region: str) -> str:
    """Return the partition of a region, as botocore knows it."""
    return str(_boto3().Session().get_partition_for_region(region))


def missing_services(region: str, services: tuple[str, ...]) -> list[str]:
    """Return the services that a region does not have; none if botocore does not know the region, which may be newer.

    Args:
        region: such as `eu-central-1`.
        services: as botocore names them.
    """
    session = _boto3().Session()

    def has(service: str, partition_name: str) -> bool:
        return region in session.get_available_regions(service, partition_name=partition_name)

    for name in session.get_available_partitions():
        if has("cloudformation", name):
            return [service for service in services if not has(service, name)]
    return []


def is_embedded() -> bool:
    """Return whether this process talks to an embedded AWS, whose data is disposable: to an endpoint outside AWS."""
    host = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname
    return host is not None and not host.endswith(AMAZON_DOMAINS)


def error_code(error: ClientError) -> str:
    """Return AWS's code of an error, such as `AccessDenied`."""
    return str(error.response["Error"].get("Code", ""))


def explain(error: BotoCoreError | ClientError) -> str:
    """Describe an error of the AWS SDK in one sentence, with what to do about it."""
    if isinstance(error, ClientError):
        return _explain_refusal(error)
    match error:
        case NoCredentialsError() | PartialCredentialsError() | TokenRetrievalError():
            return f"no AWS credentials ({error}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        case NoRegionError() | InvalidRegionError():
            return f"no AWS region ({error}): set AWS_REGION to the stage's region, such as eu-central-1"
        case EndpointConnectionError() | ConnectTimeoutError() if is_embedded():
            return f"nothing listens at {os.environ['AWS_ENDPOINT_URL']}; is the local run up?"
        case EndpointConnectionError() | ConnectTimeoutError():
            region = get_session().get_config_variable("region")
            return f"{error}: check the network connection and the name of the region, {region!r}"
        case _:
            return f"AWS: {error}"


def _explain_refusal(error: ClientError) -> str:
    code, message = error_code(error), error.response["Error"].get("Message", "")
    if code in INVALID_CREDENTIALS_CODES:
        return f"AWS does not accept these credentials ({code}): {message}"
    if code in ACCESS_DENIED_CODES:
        denied = _DENIED_ACTION.search(message)
        action = denied[1] if denied else _IAM_ACTIONS.get(error.operation_name, error.operation_name)
        where = f" on {denied[2]}" if denied and denied[2] else ""
        return f"these credentials do not allow {action}{where}: allow that action, then run the command again"
    return f"AWS refused {error.operation_name}: {message or code}"


def _seconds_until_retry(response: Any, attempts: int, **_: object) -> float | None:  # noqa: ANN401 - botocore's
    """Return how long botocore waits before the next attempt, or None to leave the decision to botocore."""
    code = response[1].get("Error", {}).get("Code") if response is not None else None
    if code != TRANSACTION_CONFLICT or attempts >= CONFLICT_ATTEMPTS:
        return None
    return random.uniform(0.5, 1) * CONFLICT_BACKOFF_SECONDS * float(2**attempts)  # noqa: S311 - jitter, no secret


def _boto3() -> Any:  # noqa: ANN401 - a module
    """Import boto3 at its first use: it takes 150 ms, which `--help` does not need."""
    import boto3  # noqa: PLC0415

    return boto3
