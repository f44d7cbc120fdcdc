"""A stand-in for AWS that answers a deployment by action, in AWS's words."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from tests.support.aws_stand_in import Answer, Request, aws_stand_in

MISSING = (
    "<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id passwire-dev does not exist</Message>"
    "</Error></ErrorResponse>"
)
STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>passwire-dev</StackName>
<StackId>arn:aws:cloudformation:eu-central-1:123456789012:stack/passwire-dev/1</StackId>
<StackStatus>{status}</StackStatus><CreationTime>2026-11-25T00:00:00Z</CreationTime>
<Parameters>{parameters}</Parameters><Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"""
NO_EVENTS = "<R><DescribeStackEventsResult><StackEvents/></DescribeStackEventsResult></R>"
CHANGE_SET = "arn:aws:cloudformation:eu-central-1:123456789012:changeSet/passwire-1/2"


class Cloud:
    """Services that answer by action, and what they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Request] = []
        self.afterwards: dict[str, Callable[[], None]] = {}

    def says(self, action: str, body: str, *, status: int = 200) -> None:
        self.answers[action] = Answer(body, status)

    def actions(self) -> list[str]:
        return [request.operation for request in self.asked]

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        action = request.operation
        if then := self.afterwards.pop(action, None):
            then()
        return self.answers.get(action, Answer(f"<{action}Response><{action}Result/></{action}Response>"))


@contextlib.contextmanager
def cloud_without_stacks() -> Iterator[Cloud]:
    service = Cloud()
    service.says("DescribeStacks", MISSING, status=400)
    service.says(
        "GetCallerIdentity", "<R><GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult></R>"
    )

    with aws_stand_in(service.answer):
        yield service


def stack(*, status: str, parameters: Mapping[str, str] = {}, outputs: Mapping[str, str] = {}) -> str:
    def members(values: Mapping[str, str], kind: str) -> str:
        return "".join(
            f"<member><{kind}Key>{k}</{kind}Key><{kind}Value>{v}</{kind}Value></member>" for k, v in values.items()
        )

    return STACK.format(status=status, parameters=members(parameters, "Parameter"), outputs=members(outputs, "Output"))
