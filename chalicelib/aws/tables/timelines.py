"""Takes time on the timelines of `updates/pacing.py`, which are attributes of one row of the versions table.

Another row names the passes whose fan-outs wait.
"""

from collections.abc import Mapping

from pynamodb.attributes import NumberAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.aws.tables.connection import Tables, VersionRow
from chalicelib.core.identifiers import PassId
from chalicelib.updates.pacing import FAN_OUTS_ROW, ROW, STOPS_ROW, Stop, StoppedPushes


class Timelines:
    """Each method is one request. Times are in microseconds since the epoch."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def take_now(self, costs: Mapping[str, int], *, now: int) -> bool:
        """Take time from `now` on if all of some timelines are free by then; False if one is not.

        Args:
            costs: length of the time by timeline: one or two timelines.
            now: start of the time.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        attributes = [(self._free_at(timeline), cost) for timeline, cost in costs.items()]
        conditions = [free_at.does_not_exist() | (free_at < now) for free_at, _ in attributes]
        condition = conditions[0] & conditions[1] if len(conditions) > 1 else conditions[0]
        return self._update([free_at.set(now + cost) for free_at, cost in attributes], condition) is not None

    def take_next(self, timeline: str, *, cost: int, free_by: int | None = None) -> int | None:
        """Take time where the timeline is free next.

        Args:
            timeline: its name.
            cost: length of the time.
            free_by: nothing is taken if the timeline is not free by then; None to take it at any time.

        Returns:
            The end of the time; None if the timeline is new, or if it is not free by `free_by`.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        free_at = self._free_at(timeline)
        condition = free_at.exists() if free_by is None else free_at <= free_by
        found = self._update([free_at.set(free_at + cost)], condition)
        return None if found is None else int(getattr(found, f"{timeline}_free_at"))

    def add_fan_out(self, pass_id: PassId) -> None:
        """Name a pass whose fan-out waits for its lane.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        self._name_fan_out("ADD", pass_id)

    def remove_fan_out(self, pass_id: PassId) -> None:
        """Remove the name of a pass whose fan-out has ended.

        Raises:
            StoreError: DynamoDB did not carry it out.
        """
        self._name_fan_out("DELETE", pass_id)

    def stops(self) -> dict[str, StoppedPushes]:
        """Read which pass types' pushes an operator has stopped.

        Raises:
            StoreError: DynamoDB did not answer.
        """
        table = self._tables.versions.Meta.table_name
        response = self._tables.call("GetItem", {"TableName": table, "Key": {"pass_id": {"S": STOPS_ROW}}})
        stopped = response.get("Item", {}).get("stops", {}).get("M", {})
        return {
            pass_type_identifier: StoppedPushes(Stop(row["M"]["stop"]["S"]), float(row["M"]["at"]["N"]))
            for pass_type_identifier, row in stopped.items()
        }

    def _name_fan_out(self, action: str, pass_id: PassId) -> None:
        self._tables.call(
            "UpdateItem",
            {
                "TableName": self._tables.versions.Meta.table_name,
                "Key": {"pass_id": {"S": FAN_OUTS_ROW}},
                "UpdateExpression": f"{action} fan_outs :pass",
                "ExpressionAttributeValues": {":pass": {"SS": [str(pass_id)]}},
            },
        )

    def _free_at(self, timeline: str) -> NumberAttribute:
        attribute: NumberAttribute = getattr(self._tables.versions, f"{timeline}_free_at")
        return attribute

    def _update(self, actions: list[Action], condition: Condition) -> VersionRow | None:
        row = self._tables.versions(ROW)
        if not self._tables.write_one("UpdateItem", lambda: row.update(actions=actions, condition=condition)):
            return None
        return row
