"""The embedded Lambda, SQS, Secrets Manager, CloudFormation and CloudWatch Logs refuse what AWS refuses."""

import json
import secrets

import pytest
from botocore.exceptions import ClientError

from infra.local.run import LocalRun
from tests.schedules.tables import ScratchTables
from tests.support.eventually import eventually
from tests.support.strict import StrictAws, client, error_code, refusal

# ------------------------------------------------------------ A2: event source mappings settle slowly


def test_event_source_mapping_refuses_changes_until_it_has_settled(strict: StrictAws, stack: LocalRun) -> None:
    functions = client("lambda")
    queue = client("sqs").create_queue(QueueName=f"settle-{secrets.token_hex(4)}")["QueueUrl"]
    source = f"arn:aws:sqs:{stack.region}:000000000000:{queue.rpartition('/')[2]}"
    with strict.limits(settling_seconds=0.5):
        created = functions.create_event_source_mapping(
            FunctionName=stack.functions["push_worker"], EventSourceArn=source, Enabled=False
        )
        uuid = created["UUID"]
        assert created["State"] == "Creating"
        assert refusal(lambda: functions.update_event_source_mapping(UUID=uuid, BatchSize=5)) == (
            "ResourceInUseException"
        )
        assert refusal(lambda: functions.delete_event_source_mapping(UUID=uuid)) == "ResourceInUseException"
        eventually(
            lambda: functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled",
            "the mapping",
        )
        assert functions.update_event_source_mapping(UUID=uuid, BatchSize=5)["State"] == "Updating"
        listed = functions.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
        assert [mapping["State"] for mapping in listed] == ["Updating"]
        eventually(
            lambda: functions.get_event_source_mapping(UUID=uuid)["State"] == "Disabled",
            "the mapping",
        )
        functions.delete_event_source_mapping(UUID=uuid)


# ------------------------------------------------------------ A12: names that are not free yet


def test_name_of_a_deleted_queue_is_not_free_at_once(strict: StrictAws, stack: LocalRun) -> None:
    assert stack
    sqs, name = client("sqs"), f"again-{secrets.token_hex(4)}"
    with strict.limits(queue_name_seconds=0.5):
        sqs.delete_queue(QueueUrl=sqs.create_queue(QueueName=name)["QueueUrl"])
        assert refusal(lambda: sqs.create_queue(QueueName=name)) == "AWS.SimpleQueueService.QueueDeletedRecently"
        eventually(lambda: not error_code(lambda: sqs.create_queue(QueueName=name)), "the free name")


def test_name_of_a_deleted_secret_is_not_free_at_once(strict: StrictAws, stack: LocalRun) -> None:
    assert stack
    manager, name = client("secretsmanager"), f"again/{secrets.token_hex(4)}"

    def create() -> object:
        return manager.create_secret(Name=name, SecretString="s")

    with strict.limits(secret_name_seconds=0.5):
        create()
        manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        with pytest.raises(ClientError, match="already scheduled for deletion"):
            create()
        eventually(lambda: not error_code(create), "the free name")
        manager.delete_secret(SecretId=name)  # with a recovery window of 30 days
        with pytest.raises(ClientError, match="already scheduled for deletion"):
            create()
    with pytest.raises(ClientError, match="already scheduled for deletion"):
        create()


# ------------------------------------------------------------ A3: early validation of change sets


@pytest.mark.parametrize("importing", [False, True])
def test_change_set_that_would_create_an_existing_name_is_refused(
    stack: LocalRun, tables: ScratchTables, *, importing: bool
) -> None:
    assert stack
    cloudformation = client("cloudformation")
    existing = tables.names["versions"]
    template = {
        "Resources": {
            "Versions": {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "Properties": {
                    "TableName": existing,
                    "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "pass_id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "pass_id", "KeyType": "HASH"}],
                },
            }
        }
    }
    names = {"StackName": f"early-{secrets.token_hex(4)}", "ChangeSetName": "first"}
    cloudformation.create_change_set(
        **names, ChangeSetType="CREATE", TemplateBody=json.dumps(template), ImportExistingResources=importing
    )
    described = cloudformation.describe_change_set(**names)
    events = cloudformation.describe_events(**names)["OperationEvents"]
    if importing:
        assert described["Status"] == "CREATE_COMPLETE"
        assert [change["ResourceChange"]["Action"] for change in described["Changes"]] == ["Import"]
        assert events == []
    else:
        assert (described["Status"], described["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
        assert "AWS::EarlyValidation::ResourceExistenceCheck" in described["StatusReason"]
        (event,) = events
        assert event["LogicalResourceId"] == "Versions"
        assert existing in event["ValidationStatusReason"]
    cloudformation.delete_stack(StackName=names["StackName"])


# ------------------------------------------------------------ A11, A13: logs and invocations


def test_invocation_of_more_than_six_megabytes_is_refused(stack: LocalRun) -> None:
    payload = json.dumps({"Records": [], "padding": "x" * (6 * 1024 * 1024)})
    call = {"FunctionName": stack.functions["push"], "Payload": payload}
    assert refusal(lambda: client("lambda").invoke(**call)) == "RequestTooLargeException"


def test_logs_are_read_so_many_times_per_second(strict: StrictAws, stack: LocalRun) -> None:
    logs = client("logs")
    group = f"/aws/lambda/{stack.functions['api']}"
    with strict.limits(log_reads_per_second=0.01):
        logs.filter_log_events(logGroupName=group)
        assert refusal(lambda: logs.filter_log_events(logGroupName=group)) == "ThrottlingException"
