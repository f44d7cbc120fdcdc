"""The handle on a deployed stage: names read from outputs, and one sentence where it cannot be opened."""

from contextlib import AbstractContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.stage.errors import StageError
from infra.stage.stage import STAGE_NAME, Stage, check_stage_name, deployed_stages, snake_case
from tests.support.aws_stand_in import Answer, answering, aws_stand_in, refusing

OUTPUTS = {
    "ApiUrl": "https://api.example/api",
    "PassesTableName": "passwire-dev-passes",
    "VersionsTableName": "passwire-dev-versions",
    "RegistrationsTableName": "passwire-dev-registrations",
    "DevicesTableName": "passwire-dev-devices",
    "PushQueueUrl": "https://sqs.example/push",
    "DeadLetterQueueUrl": "https://sqs.example/dead-letter",
    "StreamFailureQueueUrl": "https://sqs.example/stream-failure",
    "HeldRemovalsQueueUrl": "https://sqs.example/held-removals",
    "ApiFunctionName": "passwire-dev-api",
    "PushWorkerFunctionName": "passwire-dev-push-worker",
    "TemplatesBucketName": "passwire-dev-templates",
}
DESCRIBED = (
    '<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks>'
    "<member><StackName>passwire-dev</StackName><StackStatus>{status}</StackStatus>"
    "<CreationTime>2026-11-25T00:00:00Z</CreationTime><Outputs>{outputs}</Outputs></member>"
    "</Stacks></DescribeStacksResult></DescribeStacksResponse>"
)
LISTED = (
    '<ListStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><ListStacksResult>'
    "<StackSummaries>"
    + "".join(
        f"<member><StackName>{name}</StackName><StackStatus>{status}</StackStatus>{parent}"
        "<CreationTime>2026-11-25T00:00:00Z</CreationTime></member>"
        for name, status, parent in (
            ("passwire-staging", "CREATE_COMPLETE", ""),
            ("passwire-prod", "UPDATE_COMPLETE", ""),
            ("passwire-old", "DELETE_COMPLETE", ""),
            ("passwire-prod-nested", "CREATE_COMPLETE", "<ParentId>arn:aws:cloudformation:x</ParentId>"),
            ("passwire-Other", "CREATE_COMPLETE", ""),
            ("website", "CREATE_COMPLETE", ""),
        )
    )
    + "</StackSummaries></ListStacksResult></ListStacksResponse>"
)
OUTPUT = "<member><OutputKey>{}</OutputKey><OutputValue>{}</OutputValue></member>"


def listing(otherwise: str) -> AbstractContextManager[str]:
    """Answer ListStacks with `LISTED`, and everything else with another text."""
    return aws_stand_in(lambda request: Answer(LISTED if request.operation == "ListStacks" else otherwise))


def described(status: str, outputs: dict[str, str]) -> str:
    return DESCRIBED.format(status=status, outputs="".join(OUTPUT.format(*pair) for pair in outputs.items()))


def test_names_are_read_from_outputs_by_role() -> None:
    stage = Stage("dev", OUTPUTS)
    assert stage.tables == {role: f"passwire-dev-{role}" for role in ("passes", "versions", "registrations", "devices")}
    assert set(stage.queues) == {"push", "dead_letter", "stream_failure", "held_removals"}
    assert stage.functions == {"api": "passwire-dev-api", "push_worker": "passwire-dev-push-worker"}
    assert stage.templates_bucket == "passwire-dev-templates"
    assert stage.api_url == "https://api.example/api"


def test_missing_output_says_to_deploy_with_this_version() -> None:
    with pytest.raises(StageError, match=r"stage dev: its stack has no output TemplatesBucketName.*passwire deploy"):
        _ = Stage("dev", {}).templates_bucket


def test_missing_api_says_to_run_chalice_and_finish() -> None:
    with pytest.raises(StageError, match=r"stage dev has no API yet; run: chalice deploy --stage dev"):
        _ = Stage("dev", {}).api_url


def test_open_reads_the_outputs_without_internal_ones() -> None:
    with answering(described("UPDATE_COMPLETE", {**OUTPUTS, "Value0123": "=x"})):
        assert Stage.open("dev") == Stage("dev", OUTPUTS)


@pytest.mark.parametrize(
    ("status", "outputs"), [("CREATE_IN_PROGRESS", {}), ("ROLLBACK_COMPLETE", {}), ("DELETE_COMPLETE", OUTPUTS)]
)
def test_open_refuses_a_stage_that_is_not_deployed(status: str, outputs: dict[str, str]) -> None:
    refused = pytest.raises(
        StageError, match=r"stage dev is not deployed; .*to deploy it, run: passwire deploy --stage dev"
    )
    with listing(described(status, outputs)), refused:
        Stage.open("dev")


def test_stages_are_listed_without_deleted_nested_and_other_stacks() -> None:
    with listing(""):
        assert [(stage.name, stage.status) for stage in deployed_stages()] == [
            ("prod", "UPDATE_COMPLETE"),
            ("staging", "CREATE_COMPLETE"),
        ]


def test_unknown_stage_is_answered_with_the_known_ones() -> None:
    refused = pytest.raises(StageError, match="stage prd is not deployed; deployed here: prod, staging; ")
    with listing(described("DELETE_COMPLETE", {})), refused:
        Stage.open("prd")


def test_open_refuses_a_stage_that_has_no_stack() -> None:
    refused = pytest.raises(StageError, match="stage dev is not deployed")
    with refusing("ValidationError", "Stack with id passwire-dev does not exist"), refused:
        Stage.open("dev")


def test_open_explains_what_aws_refuses() -> None:
    denied = "User: arn is not authorized to perform: cloudformation:DescribeStacks on resource: arn:x because"
    refused = pytest.raises(StageError, match="do not allow cloudformation:DescribeStacks on arn:x")
    with refusing("AccessDenied", denied), refused:
        Stage.open("dev")


@pytest.mark.parametrize("name", ["Dev", "dev_1", "1st", "dev ", "dév", "a" * 25, "dev-", "../dev", ""])
def test_invalid_name_is_refused_before_aws_is_asked(name: str) -> None:
    with pytest.raises(StageError, match="24 lower case letters"):
        Stage.open(name)


def test_reserved_name_is_refused() -> None:
    with pytest.raises(StageError, match="choose another name"):
        check_stage_name("deploy")


@given(st.from_regex(STAGE_NAME, fullmatch=True).filter(lambda name: name != "deploy"))
def test_valid_name_is_accepted_as_it_is(name: str) -> None:
    assert check_stage_name(name) == name
    assert len(name) <= 24


@pytest.mark.parametrize(("name", "snake"), [("Api", "api"), ("PushWorker", "push_worker"), ("", "")])
def test_snake_case_separates_words(name: str, snake: str) -> None:
    assert snake_case(name) == snake
