"""What is watched: the alarms and the dashboard, as resources of the stack's template, from one table each.

An alarm is for a person: something that does not mend itself, or a phone that notices. What to do about each is in the
runbook under its name (`docs/operations/runbook.md`), which the alarm's text links to.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.apns.reasons import OutcomeKind
from chalicelib.flows.check_certificates import WARNING_DAYS
from chalicelib.telemetry.metrics import NAMESPACE

Value = str | dict[str, Any]
"""Of a dimension: a text, or what CloudFormation makes one of."""

STAGE: Value = {"Ref": "Stage"}
API: Mapping[str, Value] = {"ApiName": {"Fn::Sub": "passwire-${Stage}"}, "Stage": "api"}
FUNCTIONS: Mapping[str, str] = {
    "Api": "APIHandler",
    "Push": "Push",
    "PushWorker": "PushWorker",
    "CheckCertificates": "CheckCertificates",
}
"""Logical ids by role."""
WORDS: Mapping[str, str] = {
    "Api": "API",
    "Push": "push",
    "PushWorker": "push worker",
    "CheckCertificates": "certificate check",
}
"""Roles in prose."""
SCHEDULED = "CheckCertificates"
"""Runs once a day: Lambda itself tries again what failed, so what is left of it is worth a person's time."""
QUEUES: Mapping[str, str] = {
    "push": "PushQueue",
    "dead letter": "DeadLetterQueue",
    "stream failure": "StreamFailureQueue",
    "held removals": "HeldRemovalsQueue",
}
TABLES = ("Passes", "Versions", "Registrations", "Devices")
"""Logical ids of the tables, without `Table`."""
CALLS = ("register", "unregister", "list_changed", "download", "open_link")
"""What phones do most, as the functions of app.py are named."""

ROW_HEIGHT = 6
WIDTH = 24


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of CloudWatch.

    Args:
        namespace: `Passwire`, or one of AWS's own.
        name: within the namespace.
        dimensions: all of them, by name.
        statistic: such as Sum or p99.
        label: what a graph calls it; empty for CloudWatch's own name.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, Value]
    statistic: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """When a person is told.

    Args:
        name: its heading in the runbook; the resource is called so with `Alarm` behind it.
        meaning: what has happened, for somebody who was woken by it.
        metric: what is looked at.
        threshold: what must be exceeded, unless `comparison` says otherwise.
        periods: for so many periods in a row.
        seconds: of a period.
        comparison: CloudWatch's name.
        missing: what no data means; mostly that nothing is wrong, since a service that nobody uses is healthy.
    """

    name: str
    meaning: str
    metric: Metric
    threshold: float
    periods: int = 1
    seconds: int = 300
    comparison: str = "GreaterThanThreshold"
    missing: str = "notBreaching"

    def resource(self) -> dict[str, Any]:
        """The `AWS::CloudWatch::Alarm` of the template."""
        percentile = self.metric.statistic.startswith("p")
        return {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmDescription": {"Fn::Sub": f"{self.meaning}. What to do: ${{RunbookUrl}}#{self.name.lower()}"},
                "AlarmActions": [{"Ref": "AlarmTopic"}],
                "TreatMissingData": self.missing,
                "ComparisonOperator": self.comparison,
                "EvaluationPeriods": self.periods,
                "Threshold": self.threshold,
                "Namespace": self.metric.namespace,
                "MetricName": self.metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in self.metric.dimensions.items()],
                "ExtendedStatistic" if percentile else "Statistic": self.metric.statistic,
                "Period": self.seconds,
            },
        }


@dataclass(frozen=True, slots=True)
class Graph:
    """One widget of the dashboard; those of a row share its width."""

    title: str
    metrics: tuple[Metric, ...]


def own(name: str, statistic: str, *, label: str = "", **dimensions: str) -> Metric:
    """A metric that this service writes (`chalicelib/telemetry/metrics.py`)."""
    return Metric(NAMESPACE, name, {"Stage": STAGE, **dimensions}, statistic, label)


def of_api(name: str, statistic: str, label: str = "") -> Metric:
    """AWS, "Amazon API Gateway dimensions and metrics": the average of an error count is the rate of errors."""
    return Metric("AWS/ApiGateway", name, API, statistic, label)


def of_function(role: str, name: str, statistic: str, label: str = "") -> Metric:
    """AWS, "Types of metrics for Lambda functions"."""
    return Metric("AWS/Lambda", name, {"FunctionName": {"Ref": FUNCTIONS[role]}}, statistic, label)


def of_queue(role: str, name: str, label: str = "") -> Metric:
    """AWS, "Available CloudWatch metrics for Amazon SQS"."""
    queue = {"QueueName": {"Fn::GetAtt": [QUEUES[role], "QueueName"]}}
    return Metric("AWS/SQS", name, queue, "Maximum", label)


ALARMS: tuple[Alarm, ...] = (
    Alarm(
        "PushCredentialsRejected",
        "APNs rejects a credential or topic: pushes wait until it is right",
        own("Pushes", "Sum", Outcome=OutcomeKind.CONFIGURATION.value),
        threshold=0,
    ),
    Alarm(
        "DeadLetters",
        "Pass items were refused, or pushes given up",
        of_queue("dead letter", "ApproximateNumberOfMessagesVisible"),
        threshold=0,
    ),
    Alarm(
        "RemovalsHeld",
        "APNs refused the push tokens of so many devices that none was removed: their pushes are kept until an "
        "operator decides",
        of_queue("held removals", "ApproximateNumberOfMessagesVisible"),
        threshold=0,
    ),
    Alarm(
        "StreamFailures",
        "Batches of the passes stream were given up: their devices were not told",
        of_queue("stream failure", "ApproximateNumberOfMessagesVisible"),
        threshold=0,
    ),
    Alarm(
        "StreamAge",
        "Changes wait for over a minute before they are stamped",
        of_function("Push", "IteratorAge", "Maximum"),
        threshold=60_000,
        periods=2,
        seconds=60,
    ),
    Alarm(
        "PushQueueAge",
        "Pushes have waited for over an hour and the push worker has not received them",
        of_queue("push", "ApproximateAgeOfOldestMessage"),
        threshold=3600,
    ),
    Alarm(
        "DeferredAge",
        "Pushes are still put off over an hour after their change",
        own("DeferredAge", "Maximum"),  # the queue's own age leaves out what was received three times
        threshold=3_600_000,
        seconds=1800,
    ),
    Alarm(
        "RecursionDropped",
        "Lambda stopped the push worker as a runaway loop: the pushes that it put off become dead letters",
        of_function("PushWorker", "RecursiveInvocationsDropped", "Sum"),
        threshold=0,
    ),
    *(
        Alarm(
            f"{table}{kind}Throttles",
            f"DynamoDB refused over a hundred {kind.lower()}s of the {table.lower()} table within five minutes",
            Metric("AWS/DynamoDB", f"{kind}ThrottleEvents", {"TableName": {"Ref": f"{table}Table"}}, "Sum"),
            threshold=100,
        )
        for table in TABLES
        for kind in ("Read", "Write")
    ),
    Alarm(
        "PushFailureRate",
        "Over a tenth of the pushes of an average batch had to be put off, for ten minutes",
        own("DeferredPercent", "Average"),
        threshold=10,
        periods=2,
    ),
    Alarm(
        "ApiErrorRate",
        "Over one in a hundred calls of phones ended with a 5xx, for ten minutes",
        of_api("5XXError", "Average"),
        threshold=0.01,
        periods=2,
    ),
    Alarm(
        "ApiLatency",
        "One in a hundred calls of phones took over three seconds, for a quarter of an hour",
        of_api("Latency", "p99"),
        threshold=3000,
        periods=3,
    ),
    Alarm(
        "CertificateExpiry",
        f"A certificate ends within {WARNING_DAYS} days, has ended, or cannot be used",
        own("CertificateDaysLeft", "Minimum"),
        threshold=WARNING_DAYS,
        seconds=86_400,
        comparison="LessThanOrEqualToThreshold",
        missing="ignore",
    ),
    *(
        Alarm(
            f"{role}Errors",
            f"The {WORDS[role]} function crashed or ran into its timeout in each of three periods",
            of_function(role, "Errors", "Sum"),
            threshold=0,
            periods=3,
        )
        for role in FUNCTIONS
        if role != SCHEDULED
    ),
    Alarm(
        f"{SCHEDULED}Errors",
        "The certificates could not be looked at today",
        of_function(SCHEDULED, "Errors", "Sum"),
        threshold=0,
    ),
    *(
        Alarm(
            f"{role}Throttles",
            f"Lambda had no room for the {WORDS[role]} function, for ten minutes",
            of_function(role, "Throttles", "Sum"),
            threshold=0,
            periods=2,
        )
        for role in FUNCTIONS
        if role != SCHEDULED
    ),
)

DASHBOARD: tuple[tuple[Graph, ...], ...] = (
    (
        Graph(
            "Passes written",
            (
                own("ChangedPasses", "Sum", label="changed"),
                own("RefusedItems", "Sum", label="refused"),
                Metric(
                    "AWS/DynamoDB",
                    "ConsumedWriteCapacityUnits",
                    {"TableName": {"Ref": "PassesTable"}},
                    "Sum",
                    "write units, unchanged content included",
                ),
            ),
        ),
        Graph("Pushes by outcome", tuple(own("Pushes", "Sum", label=k.value, Outcome=k.value) for k in OutcomeKind)),
        Graph(
            "From a write to its last push, ms",
            tuple(own("PushLatency", statistic, label=statistic) for statistic in ("p50", "p99")),
        ),
    ),
    (
        Graph("Calls of phones", tuple(own("CallDuration", "SampleCount", label=call, Call=call) for call in CALLS)),
        Graph(
            "How long they take in the function, ms, p99",
            tuple(own("CallDuration", "p99", label=call, Call=call) for call in CALLS),
        ),
        Graph(
            "How long all calls take at the gateway, ms",
            tuple(of_api("Latency", statistic, statistic) for statistic in ("p50", "p99")),
        ),
    ),
    (
        Graph(
            "Errors",
            (
                of_api("5XXError", "Sum", "5xx"),
                of_api("4XXError", "Sum", "4xx"),
                *(of_function(role, "Errors", "Sum", f"{WORDS[role]} function") for role in FUNCTIONS),
                *(of_function(role, "Throttles", "Sum", f"{WORDS[role]} throttled") for role in FUNCTIONS),
            ),
        ),
        Graph(
            "Messages in queues",
            tuple(of_queue(role, "ApproximateNumberOfMessagesVisible", role) for role in QUEUES),
        ),
        Graph(
            "How long changes and pushes wait, ms and s",
            (
                of_function("Push", "IteratorAge", "Maximum", "changes, ms"),
                of_queue("push", "ApproximateAgeOfOldestMessage", "pushes in the queue, s"),
                own("DeferredAge", "Maximum", label="pushes that were put off, ms"),
            ),
        ),
        Graph("Days until the first certificate ends", (own("CertificateDaysLeft", "Minimum"),)),
    ),
)


def resources() -> dict[str, Any]:
    """What belongs into the template's `Resources`."""
    return {
        **{f"{alarm.name}Alarm": alarm.resource() for alarm in ALARMS},
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": {"Fn::Sub": "passwire-${Stage}"}, "DashboardBody": _body()},
        },
    }


def _body() -> dict[str, Any]:
    """The dashboard's JSON text (AWS, "Dashboard body structure and syntax"), with CloudFormation's values put in."""
    variables: dict[str, Any] = {}

    def text(value: Value) -> str:
        """A dimension's value, where it is not known yet the name of what will stand there."""
        if isinstance(value, str):
            return value
        name = "".join(part for part in json.dumps(value) if part.isalnum())
        variables[name] = value
        return f"${{{name}}}"

    widgets = [
        {
            "type": "metric",
            "x": column * (WIDTH // len(row)),
            "y": number * ROW_HEIGHT,
            "width": WIDTH // len(row),
            "height": ROW_HEIGHT,
            "properties": {
                "title": graph.title,
                "region": text({"Ref": "AWS::Region"}),
                "view": "timeSeries",
                "period": 300,
                "metrics": [_line(metric, text) for metric in graph.metrics],
            },
        }
        for number, row in enumerate(DASHBOARD)
        for column, graph in enumerate(row)
    ]
    body = json.dumps({"start": "-P1D", "widgets": widgets}, separators=(",", ":"))
    return {"Fn::Sub": [body, variables]}


def _line(metric: Metric, text: Any) -> list[Any]:  # noqa: ANN401 - a function of _body's
    dimensions = [part for name, value in metric.dimensions.items() for part in (name, text(value))]
    return [
        metric.namespace,
        metric.name,
        *dimensions,
        {"stat": metric.statistic, "label": metric.label or metric.name},
    ]
