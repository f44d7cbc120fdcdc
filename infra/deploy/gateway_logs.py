"""Allows API Gateway to write logs: one setting per account and region.

No stage's stack can own the setting: deleting that stack would take the permission from the other stages.
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
"""The longest time until API Gateway can use a new role."""


def ensure_gateway_may_log(*, on_progress: Callable[[str], None]) -> None:
    """Give API Gateway a role to write logs with, unless the account already has one."""
    gateway = aws.client("apigateway")
    if gateway.get_account().get("cloudwatchRoleArn"):
        return
    on_progress(f"API Gateway has no permission to write logs in this account: creating role {ROLE}")
    role = _role()
    until = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            gateway.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])
        except ClientError as error:
            if aws.error_code(error) != "BadRequestException" or time.monotonic() > until:
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
