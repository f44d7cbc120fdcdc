"""What AWS refuses, said in one sentence with what to do about it; for every command that talks to AWS."""

import os
import re
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

BAD_CREDENTIALS = {
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
DENIED = {"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation"}
ACTIONS = {"HeadBucket": "s3:ListBucket", "HeadObject": "s3:GetObject"}
"""What IAM calls an operation whose refusal has no text: the answer to a HEAD request has no body."""
ACTION = re.compile(r"not authorized to perform: (\S+)(?: on resource: (\S+))?")


AMAZONS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
"""How the names of AWS's own endpoints end, private ones of a VPC among them."""


def is_embedded() -> bool:
    """Whether this process talks to an embedded AWS, whose end loses nothing: to an endpoint that is not Amazon's."""
    host = urlsplit(os.environ.get("AWS_ENDPOINT_URL", "")).hostname
    return host is not None and not host.endswith(AMAZONS)


def explain(error: BotoCoreError | ClientError) -> str:
    """The sentence for an error of the AWS SDK."""
    if isinstance(error, ClientError):
        return _refusal(error)
    match error:
        case NoCredentialsError() | PartialCredentialsError() | TokenRetrievalError():
            return f"no AWS credentials ({error}): set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        case NoRegionError() | InvalidRegionError():
            return f"no AWS region ({error}): set AWS_REGION to where the stage is, such as eu-central-1"
        case EndpointConnectionError() | ConnectTimeoutError():
            return f"{error}: is {_region()} the region's name, and is there a network?"
        case _:
            return f"AWS: {error}"


def _refusal(error: ClientError) -> str:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    if code in BAD_CREDENTIALS:
        return f"AWS does not accept these credentials ({code}): {message}"
    if code in DENIED:
        found = ACTION.search(message)
        action = found[1] if found else ACTIONS.get(error.operation_name, error.operation_name)
        where = f" on {found[2]}" if found and found[2] else ""
        return f"these credentials may not do {action}{where}: have that action allowed, then run the command again"
    return f"AWS refused {error.operation_name}: {message or code}"


def _region() -> str:
    return repr(get_session().get_config_variable("region"))
