"""Evaluates CloudWatch alarms as AWS does: a patch that runs inside ministack's process.

Ministack takes the metric's values of all dimensions together, so that a crash of any function sets the alarm of every
function, and it does not tell consecutive periods apart. Source of the rules: Amazon CloudWatch User Guide, "Using
Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data". Left out: metric math,
`DatapointsToAlarm`, anomaly detection, and evaluation while no metric arrives.
"""

import operator
import time
from typing import Any

EXCEEDS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class MetricAlarms:
    """The evaluation of metric alarms; `cloudwatch` is ministack's module of that name."""

    def __init__(self, cloudwatch: Any) -> None:  # noqa: ANN401 - ministack has no types
        self._cloudwatch = cloudwatch

    def install(self) -> None:
        """Replace ministack's evaluation."""
        self._cloudwatch._evaluate_alarm = self.evaluate  # noqa: SLF001 - it has no public name

    def evaluate(self, alarm: dict[str, Any]) -> None:
        """Set the state of an alarm; an alarm whose metric has no values at all keeps its state."""
        dimensions = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", [])}
        key = (alarm["Namespace"], alarm["MetricName"], self._cloudwatch._dims_key(dimensions))  # noqa: SLF001
        if points := self._cloudwatch._metrics.get(key):  # noqa: SLF001
            breaches = [self._breaches(alarm, points, period) for period in range(int(alarm["EvaluationPeriods"]))]
            if None not in breaches:
                self._set(alarm, "ALARM" if all(breaches) else "OK")

    def _breaches(self, alarm: dict[str, Any], points: list[dict[str, Any]], period: int) -> bool | None:
        """Return whether a period breaches the threshold, the newest being 0; None if its absence keeps the state."""
        seconds = int(alarm["Period"])
        end = time.time() - period * seconds
        within = [point for point in points if end - seconds <= point["Timestamp"] < end]
        statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
        value = self._cloudwatch._stat_value(self._cloudwatch._calc_stats(within), statistic, within)  # noqa: SLF001
        if not within or value is None:
            return {"breaching": True, "notBreaching": False}.get(alarm.get("TreatMissingData", ""))
        return bool(EXCEEDS[alarm["ComparisonOperator"]](value, float(alarm["Threshold"])))

    def _set(self, alarm: dict[str, Any], state: str) -> None:
        before = alarm["StateValue"]
        if state == before:
            return
        reason = f"Threshold Crossed: {alarm['EvaluationPeriods']} datapoints, {alarm['ComparisonOperator']} "
        reason += str(alarm["Threshold"])
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
        self._cloudwatch._record_history(alarm["AlarmName"], before, state, reason)  # noqa: SLF001
        self._cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)  # noqa: SLF001
        self._cloudwatch._evaluate_parent_alarms(alarm)  # noqa: SLF001
