"""Tests of changing a pass that is written concurrently."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.core.identifiers import PassId
from infra.local.run import LocalRun
from infra.operate.passes.change import ItemChange
from infra.operate.passes.table import PassBusyError, PassMissingError, PassTable
from infra.stage.stage import Stage
from tests.conftest import Pipeline


class Raced(PassTable):
    """A pipeline writes just after the item was read, some times."""

    race: Callable[[], object]
    times = 1

    def _item(self, key: str) -> dict[str, Any]:
        item = super()._item(key)
        if self.times:
            self.times -= 1
            self.race()
        return item


@pytest.fixture
def raced(stack: LocalRun) -> Raced:
    return Raced(Stage.open(stack.stage))


@pytest.fixture
def pass_id(pipeline: Pipeline, serial_number: str) -> Iterator[PassId]:
    written = pipeline.writes(serial_number, fields={"gate": "A7", "seat": {"value": "14C", "label": "SITZ"}})
    yield written
    pipeline.deletes(written)


def fields(pipeline: Pipeline, pass_id: PassId) -> object:
    return pipeline.table.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True)["Item"].get("fields")


def test_concurrent_write_of_a_pipeline_is_kept(raced: Raced, pipeline: Pipeline, pass_id: PassId) -> None:
    raced.race = lambda: pipeline.writes(pass_id.serial_number, fields={"gate": "C1", "seat": {"value": "20F"}})
    raced.update(pass_id, ItemChange(fields={"seat": "15A"}))
    assert fields(pipeline, pass_id) == {"gate": "C1", "seat": {"value": "15A"}}


@pytest.mark.parametrize(
    ("meanwhile", "after"),
    [
        ({"fields": {"seat": "20F"}}, {"seat": "15A"}),
        ({}, {"seat": "15A"}),
        ({"fields": None}, {"seat": "15A"}),
    ],
    ids=["a plain value", "no fields", "NULL"],
)
def test_change_is_computed_again_if_the_form_of_the_item_has_changed(
    raced: Raced, pipeline: Pipeline, pass_id: PassId, meanwhile: dict[str, object], after: object
) -> None:
    raced.race = lambda: pipeline.writes(pass_id.serial_number, **meanwhile)
    raced.update(pass_id, ItemChange(fields={"seat": "15A"}))
    assert fields(pipeline, pass_id) == after


def test_change_is_validated_again_if_the_template_has_changed(
    raced: Raced, pipeline: Pipeline, pass_id: PassId
) -> None:
    raced.race = lambda: pipeline.table.put_item(Item={"pass_id": str(pass_id), "template": "rewards"})
    with pytest.raises(Exception, match="template 'rewards' has no such field"):
        raced.update(pass_id, ItemChange(fields={"seat": "15A"}))
    assert fields(pipeline, pass_id) is None


def test_concurrently_deleted_pass_is_not_created_again(raced: Raced, pipeline: Pipeline, pass_id: PassId) -> None:
    raced.race = lambda: pipeline.deletes(pass_id)
    with pytest.raises(PassMissingError):
        raced.update(pass_id, ItemChange(voided=True))


def test_update_gives_up_after_repeated_concurrent_writes(raced: Raced, pipeline: Pipeline, pass_id: PassId) -> None:
    forms: list[dict[str, object]] = [{"fields": {"seat": "1A"}}, {}]

    def flip() -> None:
        forms.reverse()
        pipeline.writes(pass_id.serial_number, **forms[0])

    raced.race, raced.times = flip, 100
    with pytest.raises(PassBusyError, match="nothing was changed, try again"):
        raced.update(pass_id, ItemChange(fields={"gate": "B1"}))
