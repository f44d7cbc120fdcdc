"""A grant of IAM actions on the resources of one stage, and IAM policies made of grants.

ARNs contain `${Stage}` and CloudFormation's pseudo parameters, for `Fn::Sub`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MANAGED_POLICY_CHARACTERS = 6144
"""IAM's limit for a managed policy, without white space (IAM quotas)."""
LONGEST = {
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": "ap-northeast-1",
    "AWS::AccountId": "1" * 12,
    "Stage": "s" * 24,
}
"""Values for the size of a policy, which counts after substitution."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on resources.

    Args:
        actions: IAM actions, without wildcards.
        resources: ARNs.
        reason: why `resources` include more than resources of this stage; empty if they do not.
        condition: the condition of the policy statement.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str = ""
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def statement(self) -> dict[str, Any]:
        """The statement of an IAM policy, as CloudFormation reads it."""
        found: dict[str, Any] = {
            "Effect": "Allow",
            "Action": sorted(self.actions),
            "Resource": [_sub(arn) for arn in self.resources],
        }
        if self.condition:
            found["Condition"] = {
                operator: {key: _sub(value) if isinstance(value, str) else value for key, value in tests.items()}
                for operator, tests in self.condition.items()
            }
        return found


def arn(service: str, resource: str, *, region: str = "${AWS::Region}", account: str = "${AWS::AccountId}") -> str:
    """Return an ARN.

    Args:
        service: such as `sqs`.
        resource: its last part, such as `passwire-${Stage}-*`.
        region: empty for services without regions.
        account: empty for services without accounts.
    """
    return f"arn:${{AWS::Partition}}:{service}:{region}:{account}:{resource}"


def merged(grants: Iterable[Grant]) -> list[Grant]:
    """Return the grants with one entry for the same resources and condition."""
    found: dict[str, list[Grant]] = {}
    for grant in grants:
        where = json.dumps([sorted(grant.resources), grant.condition], sort_keys=True)
        found.setdefault(where, []).append(grant)
    return [
        Grant(
            tuple(sorted({action for grant in alike for action in grant.actions})),
            alike[0].resources,
            "; ".join(dict.fromkeys(grant.reason for grant in alike if grant.reason)),
            alike[0].condition,
        )
        for alike in found.values()
    ]


def policies(grants: Sequence[Grant]) -> Iterator[dict[str, Any]]:
    """Return IAM policy documents of these grants, each within the limit of a managed policy."""
    statements: list[dict[str, Any]] = []
    for grant in grants:
        if statements and _size([*statements, grant.statement]) > MANAGED_POLICY_CHARACTERS:
            yield _document(statements)
            statements = []
        statements.append(grant.statement)
    yield _document(statements)


def size(document: Mapping[str, Any]) -> int:
    """Return the number of characters of a policy document that IAM counts, with the longest values."""
    text = json.dumps(_substituted(document), separators=(",", ":"))
    for name, value in LONGEST.items():
        text = text.replace(f"${{{name}}}", value)
    return len(text)


def _size(statements: list[dict[str, Any]]) -> int:
    return size(_document(statements))


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _sub(text: str) -> str | dict[str, str]:
    return {"Fn::Sub": text} if "${" in text else text


def _substituted(value: Any) -> Any:  # noqa: ANN401 - JSON
    match value:
        case {"Fn::Sub": text}:
            return text
        case dict():
            return {key: _substituted(item) for key, item in value.items()}
        case list():
            return [_substituted(item) for item in value]
        case _:
            return value
