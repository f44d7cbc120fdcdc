"""What an AWS account and region can take, asked before anything is made there."""

from collections.abc import Callable, Mapping

from infra.deploy.errors import DeployError
from infra.deploy.resources import resources
from infra.stage import aws

SERVICES = ("apigateway", "cloudformation", "cloudwatch", "dynamodb", "lambda", "logs", "s3", "secretsmanager", "sqs")
"""What a stage cannot do without, as botocore names them."""
CONCURRENCY = ("PushReservedConcurrency", "PushWorkerReservedConcurrency")
MIN_UNRESERVED = 100
"""What Lambda leaves unreserved in an account (AWS, "Configuring reserved concurrency for a function")."""
CALL_SECONDS = 0.1
"""An assumption of how long a phone's call keeps a function busy."""


def check_region(region: str) -> None:
    """Refuse a region that lacks a service which a stage needs.

    Raises:
        DeployError: it does; the message names the service.
    """
    if missing := aws.missing_services(region, SERVICES):
        raise DeployError(f"region {region} has no {', '.join(missing)}, which a stage needs; choose another region")


def check_concurrency(
    parameters: Mapping[str, str], *, reserved_now: int = 0, on_progress: Callable[[str], None] = lambda _: None
) -> None:
    """Refuse reserved concurrency that the account cannot give, and warn of limits that exceed it.

    Args:
        parameters: of the template, those of the last deployment included.
        reserved_now: what this stage reserves already.
        on_progress: takes a warning.

    Raises:
        DeployError: Lambda would refuse it in the middle of the deployment.
    """
    values = {
        **{name: of["Default"] for name, of in resources()["Parameters"].items() if "Default" in of},
        **parameters,
    }
    limits = aws.client("lambda").get_account_settings()["AccountLimit"]
    total = int(limits["ConcurrentExecutions"])
    wanted = sum(int(values[name]) for name in CONCURRENCY)
    free = int(limits.get("UnreservedConcurrentExecutions", total)) + reserved_now - MIN_UNRESERVED
    if wanted > reserved_now and wanted > max(0, free):
        raise DeployError(
            f"this account may run {total} functions at once, of which {max(0, free)} can be reserved, but "
            f"{' and '.join(CONCURRENCY)} ask for {wanted}: set them to 0, or have the Lambda quota "
            "'Concurrent executions' raised"
        )
    needed = int(float(values["ThrottleBurst"]) + float(values["ThrottleRate"]) * CALL_SECONDS) + wanted
    if needed > total:
        on_progress(
            f"warning: this account may run {total} functions at once, fewer than the {needed} that ThrottleRate "
            f"{values['ThrottleRate']} and ThrottleBurst {values['ThrottleBurst']} let in: phones would get errors "
            "(500); have the Lambda quota 'Concurrent executions' raised, or set lower limits"
        )
