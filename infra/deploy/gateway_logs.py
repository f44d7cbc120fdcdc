"""API Gateway's right to write logs: one setting per account and region, which no stage's stack can own.

A stack that owned it would take it from the others when it goes.
"""

import json
import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from infra.stage import aws

ROLE = "passwire-gateway-logs"
POLICY = "arn:{partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
SETTLING_SECONDS = 60.0
"""How long a new role may take until API Gateway can use it."""


def ensure_gateway_may_log(*, on_progress: Callable[[str], None]) -> None:
    """Give API Gateway a role to write logs with, where the account has none; one that is there stays."""
    gateway = aws.client("apigateway")
    if gateway.get_account().get("cloudwatchRoleArn"):
        return
    on_progress(f"API Gateway may not write logs in this account yet: making role {ROLE}")
    role = _role()
    until = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            gateway.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])
        except ClientError as error:
            if error.response["Error"]["Code"] != "BadRequestException" or time.monotonic() > until:
                raise
            time.sleep(2)
        else:
            return


def _role() -> str:
    iam = aws.client("iam")
    try:
        arn = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        arn = iam.get_role(RoleName=ROLE)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=POLICY.format(partition=aws.partition()))
    return str(arn)
