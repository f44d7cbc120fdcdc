"""The metrics that the alarms and the dashboard use."""

from collections.abc import Iterator

from infra.deploy import monitoring

Written = set[tuple[str, frozenset[str]]]
"""Names of metrics with the names of their dimensions."""


def watched() -> Iterator[monitoring.Metric]:
    """Every metric of an alarm or of the dashboard."""
    yield from (alarm.metric for alarm in monitoring.ALARMS)
    for shown in (shown for row in monitoring.DASHBOARD for graph in row for shown in graph.metrics):
        if isinstance(shown, monitoring.Metric):
            yield shown


def levels() -> Written:
    """Every metric that the dashboard searches, with its dimensions."""
    found = (shown for row in monitoring.DASHBOARD for graph in row for shown in graph.metrics)
    return {(m.name, frozenset({"Stage", *m.dimensions})) for m in found if isinstance(m, monitoring.Levels)}
