"""Computes the monthly bill of a stage, line by line."""

from collections.abc import Iterable
from dataclasses import dataclass

from chalicelib.aws.secrets import KEEP_SECONDS as SECRET_SECONDS
from chalicelib.aws.templates import KEEP_SECONDS as TEMPLATE_SECONDS
from chalicelib.telemetry.metrics import NAMESPACE
from infra.deploy import monitoring
from infra.deploy.cost import prices
from infra.deploy.cost.flows import (
    ACCESS_LOG_BYTES,
    DOWNLOAD,
    EVENTS_PER_BATCH,
    LAMBDA_LOG_BYTES,
    PUBLISH_REGISTRATIONS,
    PUBLISH_UPDATES,
    REGISTER,
    REQUESTS_PER_MESSAGE,
    UNREGISTER,
    Flow,
    change,
    listing,
)
from infra.deploy.resources import chalice_config

DAYS = 30
TURNOVER = 1
"""How often per month a device adds a pass and removes one."""
ROWS_BYTES = 1200
"""Size of a registered pass in all tables: its item, version, registration and device."""
PASS_KILOBYTES = 40
"""Size of a downloaded pass unless it is given."""
POLLS = 5 * 3 * 60 * 24 * DAYS
"""Lambda's requests to an idle queue: five pollers wait 20 seconds each (AWS, "Amazon SQS event source mappings")."""
UTILIZATION = 0.25
"""The share of its lifetime in which an execution environment is busy: an assumption, not measured on AWS."""
SECRETS_READ = 2
"""Secrets per execution environment: the authentication keys, and the credentials of a pass type."""
OTHER_METRICS = 10
"""Metrics that the dashboard does not show: totals of requests and pushes, reasons of outcomes."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a stage.

    Args:
        devices: phones that have a pass.
        updates_per_day: updates per device and day, each with a push and a download.
        passes_per_device: passes of one type per device.
        devices_per_pass: devices that have the same pass.
        pass_kilobytes: size of a downloaded pass.
    """

    devices: int
    updates_per_day: float
    passes_per_device: int = 1
    devices_per_pass: int = 1
    pass_kilobytes: float = PASS_KILOBYTES


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of the bill.

    Args:
        what: what is billed.
        quantity: units per month.
        price: US dollars per unit.
    """

    what: str
    quantity: float
    price: float

    @property
    def dollars(self) -> float:
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Runs:
    """A flow and how often it runs per month.

    Args:
        flow: the flow.
        count: runs per month.
        function: the Lambda function that runs it.
        by_phone: whether a phone requests it, through API Gateway.
    """

    flow: Flow
    count: float
    function: str
    by_phone: bool


def bill(usage: Usage) -> list[BillLine]:
    """Return the bill of a month of 30 days in which every update reaches every phone."""
    runs = _runs(usage)
    updates = usage.devices * usage.updates_per_day * DAYS
    memory = _memory()
    gigabytes = usage.devices * usage.passes_per_device * ROWS_BYTES / 1e9
    calls = sum(run.count for run in runs if run.by_phone)
    alive = _sum(run.count * run.flow.milliseconds / 1000 for run in runs) / UTILIZATION
    return [
        BillLine(
            "DynamoDB, write units", _sum(run.count * run.flow.write_units for run in runs), prices.PER_WRITE_UNIT
        ),
        BillLine("DynamoDB, read units", _sum(run.count * run.flow.read_units for run in runs), prices.PER_READ_UNIT),
        BillLine("DynamoDB, GB stored", gigabytes, prices.PER_STORED_GB + prices.PER_RECOVERABLE_GB),
        BillLine("API Gateway, requests of phones", calls, prices.PER_API_CALL),
        BillLine(
            "Lambda, invocations", _sum(run.count * (1 + run.flow.messages) for run in runs), prices.PER_INVOCATION
        ),
        BillLine(
            "Lambda, GB-seconds",
            _sum(run.count * run.flow.milliseconds / 1000 * memory[run.function] / 1024 for run in runs),
            prices.PER_GB_SECOND,
        ),
        BillLine("SQS, polls of an idle queue", POLLS, prices.PER_QUEUE_REQUEST),
        BillLine(
            "SQS, requests with a group",
            _sum(run.count * run.flow.messages * REQUESTS_PER_MESSAGE for run in runs),
            prices.PER_GROUPED_QUEUE_REQUEST,
        ),
        BillLine(
            "CloudWatch, GB of logs",
            (_sum(run.count * (run.flow.logged_bytes + LAMBDA_LOG_BYTES) for run in runs) + calls * ACCESS_LOG_BYTES)
            / 1e9,
            prices.PER_LOGGED_GB,
        ),
        BillLine("EventBridge, events", _sum(run.count * run.flow.events for run in runs), prices.PER_EVENT),
        BillLine("S3, reads of templates", alive / TEMPLATE_SECONDS, prices.PER_OBJECT_READ),
        BillLine("Secrets Manager, reads", alive / SECRET_SECONDS * SECRETS_READ, prices.PER_SECRET_READ),
        BillLine("CloudWatch, custom metrics", _own_metrics(), prices.PER_METRIC),
        BillLine("CloudWatch, alarms", len(monitoring.ALARMS), prices.PER_ALARM),
        BillLine("CloudWatch, dashboards", 1, prices.PER_DASHBOARD),
        BillLine("Secrets Manager, secrets", 2, prices.PER_SECRET),
        BillLine("Data transfer to phones, GB", updates * usage.pass_kilobytes / 1e6, prices.PER_GB_OUT),
    ]


def _runs(usage: Usage) -> tuple[Runs, ...]:
    updates = usage.devices * usage.updates_per_day * DAYS
    turnover = usage.devices * TURNOVER
    return (
        Runs(change(devices=usage.devices_per_pass), updates / usage.devices_per_pass, "push", by_phone=False),
        Runs(listing(held=usage.passes_per_device), updates, "api_handler", by_phone=True),
        Runs(DOWNLOAD, updates + turnover, "api_handler", by_phone=True),
        Runs(REGISTER, turnover, "api_handler", by_phone=True),
        Runs(UNREGISTER, turnover, "api_handler", by_phone=True),
        Runs(PUBLISH_UPDATES, updates / usage.devices_per_pass / EVENTS_PER_BATCH, "publish_events", by_phone=False),
        Runs(PUBLISH_REGISTRATIONS, 2 * turnover / EVENTS_PER_BATCH, "publish_events", by_phone=False),
    )


def _own_metrics() -> int:
    shown = {
        str((metric.name, metric.dimensions))
        for row in monitoring.DASHBOARD
        for graph in row
        for metric in graph.metrics
        if isinstance(metric, monitoring.Metric) and metric.namespace == NAMESPACE
    }
    return len(shown) + OTHER_METRICS


def _memory() -> dict[str, int]:
    """Return the memory of the functions in megabytes."""
    functions = chalice_config()["lambda_functions"]
    return {name: int(function["lambda_memory_size"]) for name, function in functions.items()}


def _sum(values: Iterable[float]) -> float:
    return float(sum(values))
