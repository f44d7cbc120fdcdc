"""Tests of grants: merged without a loss, and divided into policies that IAM accepts."""

from hypothesis import given
from hypothesis import strategies as st

from infra.deploy.permissions.grants import MANAGED_POLICY_CHARACTERS, Grant, arn, merged, policies, size

ACTIONS = st.lists(st.sampled_from(("s3:GetObject", "s3:PutObject", "sqs:SendMessage")), min_size=1, unique=True)
RESOURCES = st.lists(st.sampled_from((arn("s3", "a"), arn("sqs", "passwire-${Stage}-*"), "*")), min_size=1, unique=True)
CONDITIONS = st.sampled_from(({}, {"StringEquals": {"aws:RequestedRegion": "${AWS::Region}"}}))
GRANTS = st.lists(
    st.builds(
        lambda actions, resources, reason, condition: Grant(tuple(actions), tuple(resources), reason, condition),
        ACTIONS,
        RESOURCES,
        st.sampled_from(("", "x", "y")),
        CONDITIONS,
    ),
    max_size=12,
)


def allowed(grants: list[Grant]) -> set[tuple[str, str, str]]:
    return {
        (action, name, str(grant.condition)) for grant in grants for action in grant.actions for name in grant.resources
    }


@given(GRANTS)
def test_merged_grants_allow_the_same(grants: list[Grant]) -> None:
    found = merged(grants)
    assert allowed(found) == allowed(grants)
    where = [(frozenset(grant.resources), str(grant.condition)) for grant in found]
    assert len(where) == len(set(where)), "one entry for the same resources"
    assert merged(found) == found


def test_reasons_of_merged_grants_are_joined() -> None:
    (found,) = merged([Grant(("a:b",), ("*",), reason) for reason in ("x", "", "y", "x")])
    assert found.reason == "x; y"


def test_policies_contain_every_statement_within_the_limit() -> None:
    grants = [Grant((f"s3:Action{number}",), (arn("s3", f"bucket-${{Stage}}-{number}"),)) for number in range(120)]
    documents = list(policies(grants))
    assert len(documents) > 1
    assert [statement for document in documents for statement in document["Statement"]] == [g.statement for g in grants]
    assert all(size(document) <= MANAGED_POLICY_CHARACTERS for document in documents)


def test_size_counts_the_longest_values() -> None:
    short, long = ({"Statement": [{"Resource": {"Fn::Sub": text}}]} for text in ("", "${Stage}"))
    assert size(long) - size(short) == 24


def test_statement_substitutes_expressions_only() -> None:
    grant = Grant(("b:c", "a:b"), ("*", arn("sqs", "x", region="")), "why", {"StringEquals": {"k": "${Stage}", "n": 1}})
    assert grant.statement == {
        "Effect": "Allow",
        "Action": ["a:b", "b:c"],
        "Resource": ["*", {"Fn::Sub": "arn:${AWS::Partition}:sqs::${AWS::AccountId}:x"}],
        "Condition": {"StringEquals": {"k": {"Fn::Sub": "${Stage}"}, "n": 1}},
    }
