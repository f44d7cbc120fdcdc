"""Operators' commands with an embedded AWS that is as slow and strict as AWS."""

import json
import secrets
from collections.abc import Callable, Iterator

import boto3
import pytest

from infra.deploy.chalice.triggers import set_trigger
from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.package import Package
from infra.local.run import LocalRun
from infra.operate.passes.change import ItemChange
from infra.operate.passes.table import PassTable
from infra.stage.secrets import ensure_authentication_keys
from infra.stage.stage import Stage
from tests.conftest import Pipeline
from tests.support.command_line import infra
from tests.support.streams import newest_record
from tests.support.strict import StrictAws

pytestmark = pytest.mark.timeout(300)
ITEM_BYTES = 390_000
MORE_THAN_AN_INVOCATION_TAKES = 18


@pytest.fixture
def deployer(stack: LocalRun) -> Iterator[Deployer]:
    """The deployer of a new stage, which is destroyed after the test."""
    assert stack
    made = Deployer(f"strict{secrets.token_hex(3)}", on_progress=lambda _: None)
    yield made
    made.destroy(with_data=True, dialogue=Unattended())


def test_trigger_is_set_while_it_is_still_being_made(strict: StrictAws, stack: LocalRun) -> None:
    """A2: `finish` right after `chalice deploy`."""
    functions, sqs = boto3.client("lambda"), boto3.client("sqs")
    queue = sqs.create_queue(QueueName=f"trigger-{secrets.token_hex(4)}")["QueueUrl"]
    source = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    with strict.limits(settling_seconds=2):
        made = functions.create_event_source_mapping(FunctionName=stack.functions["push_worker"], EventSourceArn=source)
        assert set_trigger(stack.functions["push_worker"], {"Queue": source, "BatchSize": 5})
        mapping = functions.get_event_source_mapping(UUID=made["UUID"])
        assert (mapping["State"], mapping["BatchSize"]) == ("Enabled", 5)
        functions.delete_event_source_mapping(UUID=made["UUID"])


def test_changes_are_shown_for_a_stage_whose_tables_are_left_from_an_earlier_one(
    deployer: Deployer, local_package: Package
) -> None:
    """A3: `diff` after `destroy`."""
    deployer.deploy(lambda: local_package, parameters={}, dialogue=Unattended())
    deployer.destroy(with_data=False, dialogue=Unattended())
    changes = {change.logical_id: change.action for change in deployer.diff(lambda: local_package, parameters={})}
    assert {changes[f"{role}Table"] for role in ("Passes", "Versions", "Registrations", "Devices")} == {"Import"}
    assert changes["TemplatesBucket"] == "Import"
    assert changes["PushQueue"] == "Add"


def test_stage_is_deployed_again_right_after_it_was_destroyed(deployer: Deployer, local_package: Package) -> None:
    """A12: `deploy` right after `destroy`, before the names of the queues are free."""
    deployer.deploy(lambda: local_package, parameters={}, dialogue=Unattended())
    deployer.destroy(with_data=False, dialogue=Unattended())
    deployer.deploy(lambda: local_package, parameters={}, dialogue=Unattended())
    assert Stage.open(deployer.stage).queues["push"]


def test_name_conflict_is_named_and_the_same_deployment_continues_once_the_name_is_free(
    deployer: Deployer, local_package: Package, strict: StrictAws
) -> None:
    """A3, A12: a queue of the stage's name exists; then it was deleted a moment ago; then the same command succeeds."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=f"passwire-{deployer.stage}-push")["QueueUrl"]

    def deploys() -> None:
        deployer.deploy(lambda: local_package, parameters={}, dialogue=Unattended())

    with pytest.raises(
        DeployError, match=r"CloudFormation refuses .*: PushQueue \(AWS::SQS::Queue\): .* already exists"
    ):
        deploys()
    assert not deployer.exists()
    with strict.limits(queue_name_seconds=600):
        sqs.delete_queue(QueueUrl=url)
        with pytest.raises(
            DeployError, match=r"PushQueue .* failed first: .*; SQS releases .*: wait a minute, then run"
        ):
            deploys()
    with strict.limits(queue_name_seconds=0):
        deploys()
    assert Stage.open(deployer.stage).queues["push"]


def test_authentication_keys_are_made_again_right_after_they_were_deleted(strict: StrictAws, stack: LocalRun) -> None:
    """A12: the name of a secret that was deleted by force is free again after a while."""
    assert stack
    stage, manager = f"s{secrets.token_hex(3)}", boto3.client("secretsmanager")
    name = f"passwire/{stage}/authentication-keys"
    with strict.limits(secret_name_seconds=2):
        ensure_authentication_keys(stage)
        manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        ensure_authentication_keys(stage)
        assert json.loads(manager.get_secret_value(SecretId=name)["SecretString"])["keys"]
    manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def test_pass_is_changed_and_deleted_while_a_transaction_holds_it(
    strict: StrictAws, stack: LocalRun, pipeline: Pipeline
) -> None:
    """A5: a person personalizes a pass while an operator changes it."""
    pass_id = pipeline.writes(f"A5-{secrets.token_hex(4)}", fields={"gate": "A1"})
    passes = PassTable(Stage.open(stack.stage))
    changes: list[Callable[[], object]] = [
        lambda: passes.update(pass_id, ItemChange(fields={"gate": "B22"})),
        lambda: passes.delete(str(pass_id)),
    ]
    for change in changes:
        strict.during_a_transaction(change, table=stack.tables["passes"], key={"pass_id": {"S": str(pass_id)}})


def test_stream_batch_that_is_larger_than_an_invocation_is_redriven(stack: LocalRun, pipeline: Pipeline) -> None:
    """A13: the range of a failed batch contains other records too, and an invocation takes 6 MB."""
    sqs = boto3.client("sqs")
    for role in ("dead_letter", "stream_failure"):
        sqs.purge_queue(QueueUrl=stack.queues[role])
    written, places = [], []
    for _ in range(MORE_THAN_AN_INVOCATION_TAKES):
        written.append(pipeline.writes(f"A13-{secrets.token_hex(4)}", own="x" * ITEM_BYTES))
        if len(written) in (1, MORE_THAN_AN_INVOCATION_TAKES):
            places.append(newest_record(stack))
    where = {**places[-1], "startSequenceNumber": places[0]["startSequenceNumber"]}
    sqs.send_message(QueueUrl=stack.queues["stream_failure"], MessageBody=json.dumps({"DDBStreamBatchInfo": where}))
    done = infra("push", "redrive", "--yes", "--stage", "local", "--json")
    assert done.returncode == 0, done.stderr
    redriven = json.loads(done.stdout)
    assert (redriven["batches"], redriven["kept"]) == (1, {})
    for pass_id in written:
        pipeline.deletes(pass_id)
