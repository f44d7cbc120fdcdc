"""Defines the alarms and the dashboard, one table each, as resources of the stack.

An alarm is for a person: something that does not recover by itself, or that users of phones notice. The alarm's text
links to its heading in the runbook (`docs/operations/runbook.md`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.apns.reasons import OutcomeKind
from chalicelib.flows.check_certificates import WARNING_DAYS
from chalicelib.telemetry.metrics import NAMESPACE

Value = str | dict[str, Any]
"""The value of a dimension: a text, or an expression of CloudFormation."""

STAGE: Value = {"Ref": "Stage"}
API: Mapping[str, Value] = {"ApiName": {"Fn::Sub": "passwire-${Stage}"}, "Stage": "api"}
FUNCTIONS: Mapping[str, str] = {
    "Api": "APIHandler",
    "Push": "Push",
    "PushWorker": "PushWorker",
    "PublishEvents": "PublishEvents",
    "CheckCertificates": "CheckCertificates",
}
"""Logical ids by role."""
WORDS: Mapping[str, str] = {
    "Api": "API",
    "Push": "push",
    "PushWorker": "push worker",
    "PublishEvents": "events",
    "CheckCertificates": "certificate check",
}
"""Names of the functions in texts, by role."""
SCHEDULED = "CheckCertificates"
"""The function that runs once a day: Lambda retries it, so that a person is notified of each remaining failure."""
QUEUES: Mapping[str, str] = {
    "push": "PushQueue",
    "dead letter": "DeadLetterQueue",
    "stream failure": "StreamFailureQueue",
    "held removals": "HeldRemovalsQueue",
    "event failure": "EventFailureQueue",
}
TABLES = ("Passes", "Versions", "Registrations", "Devices", "Counts")
"""Logical ids of the tables, without `Table`."""
CALLS = ("register", "unregister", "list_changed", "download", "open_link")
"""The most frequent requests of phones, by the names of their functions in app.py."""

STREAM_AGE_MILLISECONDS = 60_000
PUSH_QUEUE_AGE_SECONDS = 3600
EVENT_AGE_MILLISECONDS = 600_000
"""Thresholds that `doctor` uses, too."""
ROW_HEIGHT = 6
WIDTH = 24


@dataclass(frozen=True, slots=True)
class Metric:
    """A CloudWatch metric.

    Args:
        namespace: `Passwire`, or one of AWS's own.
        name: within the namespace.
        dimensions: all dimensions, by name.
        statistic: such as Sum or p99.
        label: its label in a graph; empty for its name.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, Value]
    statistic: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A CloudWatch alarm.

    Args:
        name: its heading in the runbook; the logical id of the resource is the name followed by `Alarm`.
        meaning: what has happened, for the person who is notified.
        metric: the metric.
        threshold: the value to exceed, or to compare with by `comparison`.
        periods: number of consecutive periods.
        seconds: length of a period.
        comparison: CloudWatch's name of the comparison.
        missing: how CloudWatch treats missing data: by default as healthy, since an unused service has none.
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
        """Return the `AWS::CloudWatch::Alarm` of the template."""
        percentile = self.metric.statistic.startswith("p")
        return {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmDescription": {"Fn::Sub": f"{self.meaning}. Runbook: ${{RunbookUrl}}#{self.name.lower()}"},
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
class Levels:
    """The newest values of one of this service's metrics, a line for each combination of its dimensions.

    Args:
        name: of the metric.
        dimensions: names of the dimensions beside `Stage`.
    """

    name: str
    dimensions: tuple[str, ...]

    def expression(self, stage: str) -> str:
        """Return CloudWatch's search expression (AWS, "CloudWatch search expression syntax"). A level without a new
        value stays as it was.
        """
        schema = ",".join((NAMESPACE, "Stage", *self.dimensions))
        found = f"SEARCH('{{{schema}}} MetricName=\"{self.name}\" Stage=\"{stage}\"', 'Maximum')"
        return f"FILL({found}, REPEAT)"


@dataclass(frozen=True, slots=True)
class Graph:
    """A widget of the dashboard; the widgets of a row share its width."""

    title: str
    metrics: "tuple[Metric | Levels, ...]"


def own(name: str, statistic: str, *, label: str = "", **dimensions: str) -> Metric:
    """Return a metric that this service writes (`chalicelib/telemetry/metrics.py`)."""
    return Metric(NAMESPACE, name, {"Stage": STAGE, **dimensions}, statistic, label)


def of_api(name: str, statistic: str, label: str = "") -> Metric:
    """Return a metric of the API. The average of an error count is the error rate (AWS, "Amazon API Gateway dimensions
    and metrics").
    """
    return Metric("AWS/ApiGateway", name, API, statistic, label)


def of_function(role: str, name: str, statistic: str, label: str = "") -> Metric:
    """Return a metric of a function (AWS, "Types of metrics for Lambda functions")."""
    return Metric("AWS/Lambda", name, {"FunctionName": {"Ref": FUNCTIONS[role]}}, statistic, label)


def of_queue(role: str, name: str, label: str = "") -> Metric:
    """Return the maximum of a queue's metric (AWS, "Available CloudWatch metrics for Amazon SQS")."""
    queue = {"QueueName": {"Fn::GetAtt": [QUEUES[role], "QueueName"]}}
    return Metric("AWS/SQS", name, queue, "Maximum", label)


ALARMS: tuple[Alarm, ...] = (
    Alarm(
        "PushCredentialsRejected",
        "APNs rejects a credential or topic; pushes wait until it is corrected",
        own("Pushes", "Sum", Outcome=OutcomeKind.CONFIGURATION.value),
        threshold=0,
    ),
    Alarm(
        "DeadLetters",
        "Pass items were refused, or pushes failed permanently",
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
        "Batches of the passes stream failed permanently; their devices were not notified",
        of_queue("stream failure", "ApproximateNumberOfMessagesVisible"),
        threshold=0,
    ),
    Alarm(
        "EventFailures",
        "Events about phones could not be sent to the event bus; they are kept",
        of_queue("event failure", "ApproximateNumberOfMessagesVisible"),
        threshold=0,
    ),
    Alarm(
        "EventAge",
        f"Events about phones wait for more than {EVENT_AGE_MILLISECONDS // 60_000} minutes",
        of_function("PublishEvents", "IteratorAge", "Maximum"),
        threshold=EVENT_AGE_MILLISECONDS,
        periods=2,
    ),
    Alarm(
        "StreamAge",
        f"Changes wait for more than {STREAM_AGE_MILLISECONDS // 1000} seconds until they are stamped",
        of_function("Push", "IteratorAge", "Maximum"),
        threshold=STREAM_AGE_MILLISECONDS,
        periods=2,
        seconds=60,
    ),
    Alarm(
        "PushQueueAge",
        f"Pushes have waited for more than {PUSH_QUEUE_AGE_SECONDS // 60} minutes for the push worker to receive them",
        of_queue("push", "ApproximateAgeOfOldestMessage"),
        threshold=PUSH_QUEUE_AGE_SECONDS,
    ),
    Alarm(
        "DeferredAge",
        "Pushes are still deferred more than an hour after they were due",
        own("DeferredAge", "Maximum"),  # the queue's own age excludes messages that were received three times
        threshold=3_600_000,
        seconds=1800,
    ),
    Alarm(
        "RecursionDropped",
        "Lambda stopped the push worker as a recursive loop; the pushes that it deferred become dead letters",
        of_function("PushWorker", "RecursiveInvocationsDropped", "Sum"),
        threshold=0,
    ),
    *(
        Alarm(
            f"{table}{kind}Throttles",
            f"DynamoDB throttled more than 100 {kind.lower()}s of the {table.lower()} table within five minutes",
            Metric("AWS/DynamoDB", f"{kind}ThrottleEvents", {"TableName": {"Ref": f"{table}Table"}}, "Sum"),
            threshold=100,
        )
        for table in TABLES
        for kind in ("Read", "Write")
    ),
    Alarm(
        "PushFailureRate",
        "More than 10 % of the pushes of an average batch were deferred, for ten minutes",
        own("DeferredPercent", "Average"),
        threshold=10,
        periods=2,
    ),
    Alarm(
        "ApiErrorRate",
        "More than 1 % of the requests of phones failed with a 5xx status, for ten minutes",
        of_api("5XXError", "Average"),
        threshold=0.01,
        periods=2,
    ),
    Alarm(
        "ApiLatency",
        "1 % of the requests of phones took more than three seconds, for 15 minutes",
        of_api("Latency", "p99"),
        threshold=3000,
        periods=3,
    ),
    Alarm(
        "CertificateExpiry",
        f"A certificate expires within {WARNING_DAYS} days, has expired, or cannot be used",
        own("CertificateDaysLeft", "Minimum"),
        threshold=WARNING_DAYS,
        seconds=86_400,
        comparison="LessThanOrEqualToThreshold",
        missing="ignore",
    ),
    *(
        Alarm(
            f"{role}Errors",
            f"The {WORDS[role]} function crashed or timed out, in each of three periods of five minutes",
            of_function(role, "Errors", "Sum"),
            threshold=0,
            periods=3,
        )
        for role in FUNCTIONS
        if role != SCHEDULED
    ),
    Alarm(
        f"{SCHEDULED}Errors",
        "The daily check of certificates failed",
        of_function(SCHEDULED, "Errors", "Sum"),
        threshold=0,
    ),
    *(
        Alarm(
            f"{role}Throttles",
            f"Lambda throttled the {WORDS[role]} function, for ten minutes",
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
                    "write units, including unchanged content",
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
        Graph("Requests of phones", tuple(own("CallDuration", "SampleCount", label=call, Call=call) for call in CALLS)),
        Graph(
            "Duration in the function, ms, p99",
            tuple(own("CallDuration", "p99", label=call, Call=call) for call in CALLS),
        ),
        Graph(
            "Duration at the gateway, all requests, ms",
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
            "Age of waiting changes and pushes, ms and s",
            (
                of_function("Push", "IteratorAge", "Maximum", "changes, ms"),
                of_queue("push", "ApproximateAgeOfOldestMessage", "pushes in the queue, s"),
                own("DeferredAge", "Maximum", label="deferred pushes, ms"),
            ),
        ),
    ),
    (
        Graph("Days until the first certificate expires", (own("CertificateDaysLeft", "Minimum"),)),
        Graph(
            "Registrations",
            (
                own("AddedRegistrations", "Sum", label="added"),
                own("RemovedRegistrations", "Sum", label="removed"),
                own("UpdatedPasses", "Sum", label="updated passes"),
            ),
        ),
        Graph("Devices that hold passes", (Levels("Holders", ("PassType", "Template")),)),
    ),
)


def resources() -> dict[str, Any]:
    """Return the alarms and the dashboard as resources of the template."""
    return {
        **{f"{alarm.name}Alarm": alarm.resource() for alarm in ALARMS},
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": {"Fn::Sub": "passwire-${Stage}"}, "DashboardBody": _body()},
        },
    }


def _body() -> dict[str, Any]:
    """Return the dashboard's JSON (AWS, "Dashboard body structure and syntax") as an expression of CloudFormation."""
    variables: dict[str, Any] = {}

    def text(value: Value) -> str:
        """Return the value of a dimension, or for an expression the variable that replaces it."""
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


def _line(metric: Metric | Levels, text: Any) -> list[Any]:  # noqa: ANN401 - a function of _body's
    if isinstance(metric, Levels):
        return [{"expression": metric.expression(text(STAGE)), "label": ""}]
    dimensions = [part for name, value in metric.dimensions.items() for part in (name, text(value))]
    return [
        metric.namespace,
        metric.name,
        *dimensions,
        {"stat": metric.statistic, "label": metric.label or metric.name},
    ]
