"""Event source mappings as Lambda treats them: they change state slowly and cannot be updated meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.deploy.chalice.triggers import set_trigger
from tests.support.aws_stand_in import Answer, Request, aws_stand_in, json_answer

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:passwire-dev-push"
MAPPING = "c0ffee00-0000-4000-8000-000000000001"
WANTED = {"Queue": QUEUE, "FunctionResponseTypes": ["ReportBatchItemFailures"]}


class SlowLambda:
    """Answers for one mapping, which needs some looks until it is settled, also after each update.

    Args:
        looks: how often it is seen unsettled.
    """

    def __init__(self, *, looks: int) -> None:
        self.looks = looks
        self.unsettled = looks
        self.mapping: dict[str, Any] = {"UUID": MAPPING, "EventSourceArn": QUEUE, "State": "Creating"}
        self.refused = 0

    def answers(self, request: Request) -> Answer:
        if MAPPING not in request.path:
            return json_answer({"EventSourceMappings": [self.mapping]})
        if request.method == "GET":
            self.is_looked_at()
        elif self.unsettled:
            self.refused += 1
            refusal = {"__type": "ResourceInUseException", "Message": "being created, updated or deleted"}
            return json_answer(refusal, status=400)
        else:
            self.mapping |= request.content
            self.mapping["State"] = "Updating"
            self.unsettled = self.looks
        return json_answer(self.mapping)

    def is_looked_at(self) -> None:
        self.unsettled = max(0, self.unsettled - 1)
        if not self.unsettled:
            self.mapping["State"] = "Enabled"


@pytest.fixture
def slow_lambda() -> Iterator[SlowLambda]:
    service = SlowLambda(looks=3)
    with aws_stand_in(service.answers):
        yield service


def test_new_mapping_is_updated_after_it_is_enabled(slow_lambda: SlowLambda) -> None:
    assert set_trigger("passwire-dev-push_worker", WANTED, sleep=lambda _: None)
    assert slow_lambda.mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert slow_lambda.mapping["State"] == "Enabled", "it returns once the update is in effect"
    assert slow_lambda.refused == 0


def test_mapping_without_differences_is_not_updated(slow_lambda: SlowLambda) -> None:
    slow_lambda.mapping["FunctionResponseTypes"] = ["ReportBatchItemFailures"]
    assert not set_trigger("passwire-dev-push_worker", WANTED)
    assert slow_lambda.mapping["State"] == "Creating", "nothing is waited for"
