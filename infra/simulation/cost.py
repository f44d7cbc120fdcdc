"""The cost of a simulated rollout, by the requests of its flows and list prices (`infra/deploy/cost/`)."""

from infra.deploy.cost import prices
from infra.deploy.cost.bill import PASS_KILOBYTES, BillLine
from infra.deploy.cost.flows import (
    ACCESS_LOG_BYTES,
    DOWNLOAD,
    LAMBDA_LOG_BYTES,
    REQUESTS_PER_MESSAGE,
    change,
    listing,
)
from infra.deploy.resources import chalice_config
from infra.simulation.rollout import RolloutResult


def cost_of(result: RolloutResult) -> list[BillLine]:
    """Return the bill of one rollout.

    Requests that the gateway refuses are free of charge (re:Post, "Pricing clarification for api gateway"); those that
    fail later are paid.
    """
    rollout = result.rollout
    lists, downloads = result.served
    failed = result.failed
    calls = lists + downloads + failed
    changed = change(devices=max(1, rollout.phones // rollout.passes))
    messages = changed.messages * rollout.passes
    memory = {name: int(of["lambda_memory_size"]) for name, of in chalice_config()["lambda_functions"].items()}
    listed = listing(held=1)
    call_seconds = (lists * listed.milliseconds + downloads * DOWNLOAD.milliseconds) / 1000
    push_seconds = rollout.passes * changed.milliseconds / 1000
    logged = (
        lists * listed.logged_bytes
        + downloads * DOWNLOAD.logged_bytes
        + calls * (ACCESS_LOG_BYTES + LAMBDA_LOG_BYTES)
        + rollout.passes * (changed.logged_bytes + LAMBDA_LOG_BYTES)
    )
    rows_of_lists, rows_of_downloads = result.read  # the others are answered from recent versions
    reads = (
        lists * listing(held=0).read_units
        + rows_of_lists * (listed.read_units - listing(held=0).read_units)
        + rows_of_downloads * DOWNLOAD.read_units
        + rollout.passes * changed.read_units
    )
    return [
        BillLine("API Gateway, requests of phones", calls, prices.PER_API_CALL),
        BillLine("Data transfer to phones, GB", result.updated * PASS_KILOBYTES / 1e6, prices.PER_GB_OUT),
        BillLine("CloudWatch, GB of logs", logged / 1e9, prices.PER_LOGGED_GB),
        BillLine(
            "Lambda, GB-seconds",
            (call_seconds * memory["api_handler"] + push_seconds * memory["push_worker"]) / 1024,
            prices.PER_GB_SECOND,
        ),
        BillLine("Lambda, invocations", calls + rollout.passes + messages, prices.PER_INVOCATION),
        BillLine("DynamoDB, read units", reads, prices.PER_READ_UNIT),
        BillLine("DynamoDB, write units", rollout.passes * changed.write_units, prices.PER_WRITE_UNIT),
        BillLine("SQS, requests with a group", messages * REQUESTS_PER_MESSAGE, prices.PER_GROUPED_QUEUE_REQUEST),
    ]
