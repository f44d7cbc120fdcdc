"""Checks an AWS account and region before anything is created there."""

import re
from collections.abc import Callable, Mapping

from chalicelib.updates.pacing import REQUESTS_PER_DEVICE, default_push_rate
from infra.deploy.errors import DeployError
from infra.deploy.resources import invocations_per_shard, resources
from infra.stage import aws

SERVICES = ("apigateway", "cloudformation", "cloudwatch", "dynamodb", "lambda", "logs", "s3", "secretsmanager", "sqs")
"""The services that a stage needs, as botocore names them."""
NEEDED = {"PushReservedConcurrency": 4 * invocations_per_shard(), "PushWorkerReservedConcurrency": 20}
"""The executions of the functions that push, by the parameter that reserves them: those of `push` for the 4 shards of a
new table, and of `push_worker` its `maximum_concurrency` in app.py."""
CONCURRENCY = tuple(NEEDED)
MIN_UNRESERVED = 100
"""The concurrency that Lambda keeps unreserved (AWS, "Configuring reserved concurrency for a function")."""
CALL_SECONDS = 0.1
"""How long a request of a phone keeps a function busy: an assumption."""


def check_region(region: str) -> None:
    """Refuse a region without a service that a stage needs.

    Raises:
        DeployError: a service is missing; the message names it.
    """
    if missing := aws.missing_services(region, SERVICES):
        raise DeployError(f"region {region} has no {', '.join(missing)}, which a stage needs; use another region")


def check_concurrency(
    parameters: Mapping[str, str], *, reserved_now: int = 0, on_progress: Callable[[str], None] = lambda _: None
) -> None:
    """Refuse reserved concurrency beyond the account's limit, and warn about throttle limits beyond it.

    Args:
        parameters: the template's parameters, including those of the last deployment.
        reserved_now: the concurrency that this stage has already reserved.
        on_progress: takes a warning.

    Raises:
        DeployError: Lambda would refuse the reservation in the middle of the deployment.
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
            f"the account's concurrency limit is {total}, of which {max(0, free)} can be reserved, but "
            f"{' and '.join(CONCURRENCY)} reserve {wanted}: set them to 0, or have AWS raise the Lambda quota "
            "'Concurrent executions'"
        )
    calls = int(float(values["ThrottleBurst"]) + float(values["ThrottleRate"]) * CALL_SECONDS)
    pushes = max(wanted, sum(NEEDED.values()))
    if calls + pushes > total:
        reserving = " ".join(f"--set {name}={count}" for name, count in NEEDED.items() if int(values[name]) < count)
        waits = f" and pushes would wait, unless you reserve concurrency for them ({reserving})" if reserving else ""
        on_progress(
            f"warning: the account's concurrency limit is {total}, below the {calls + pushes} of {calls} calls that "
            f"ThrottleRate {values['ThrottleRate']} and ThrottleBurst {values['ThrottleBurst']} allow at once and "
            f"{pushes} executions that push: phones would get errors (500){waits}; have AWS raise the Lambda quota "
            "'Concurrent executions', or set lower limits"
        )


def check_push_rate(parameters: Mapping[str, str]) -> None:
    """Refuse a push rate whose phones the gateway would refuse.

    Args:
        parameters: the template's parameters, including those of the last deployment.

    Raises:
        DeployError: the rate is not a number of at least 1, or the phones send more requests than the gateway lets
            through.
    """
    throttle_rate = float(parameters.get("ThrottleRate") or resources()["Parameters"]["ThrottleRate"]["Default"])
    default, most = default_push_rate(throttle_rate), int(throttle_rate / REQUESTS_PER_DEVICE)
    given = parameters.get("PushRateLimit") or str(default)
    push_rate = int(given) if re.fullmatch("[0-9]{1,9}", given) else 0
    if 1 <= push_rate <= most:
        return
    requests = f"each notified phone sends {REQUESTS_PER_DEVICE} requests"
    if most < 1:
        raise DeployError(
            f"PushRateLimit {given}: {requests}, but ThrottleRate lets only {throttle_rate:g} per second through; set "
            f"ThrottleRate to at least {REQUESTS_PER_DEVICE}"
        )
    if push_rate:
        problem = (
            f"{requests}, so that is {push_rate * REQUESTS_PER_DEVICE} requests per second, but ThrottleRate lets "
            f"{throttle_rate:g} through"
        )
    else:
        problem = f"not a whole number of at least 1; {requests}, of which ThrottleRate lets {throttle_rate:g} through"
    raise DeployError(
        f"PushRateLimit {given}: {problem}; set PushRateLimit to a number from 1 to {most} ({throttle_rate:g} / "
        f"{REQUESTS_PER_DEVICE}), or leave it empty for {default}, which keeps a third of ThrottleRate free"
    )
