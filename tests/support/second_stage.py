"""A second stage on the session's embedded AWS, for tests that break or delete things."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.package import Package
from infra.local.certificates import KEY_ID
from infra.local.ministack import Ministack, finish_functions, finish_gateway, finish_tables
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, TEMPLATE, LocalRun
from infra.stage.secrets import ensure_authentication_keys, put_pass_type
from infra.stage.stage import Stage

STAGE = "second"
SERIAL_NUMBER = "HEALTHY-1"


@dataclass(frozen=True)
class SecondStage:
    """The second stage: its handle, and its description in the form of a local run."""

    stage: Stage
    local: LocalRun


def deploy_second_stage(stack: LocalRun, folder: Path, package: Package) -> SecondStage:
    """Deploy a healthy second stage, with a pass and a subscriber to its alarms.

    Args:
        stack: the session's own stage.
        folder: its folder, whose certificates serve for this one too.
        package: that of the session's own stage.
    """
    deployed = Deployer(STAGE, on_progress=lambda _: None).deploy(
        lambda: package,
        parameters={
            "ApnsUrl": stack.apns_url,
            "ApnsCa": Path(stack.ca_file).read_text(),
            "PathParameters": "decoded",
        },
        dialogue=Unattended(),
    )
    ensure_authentication_keys(STAGE)
    put_pass_type(STAGE, PASS_TYPE_IDENTIFIER, credentials(folder))
    finish_tables(deployed)
    finish_functions(deployed)
    api_url = finish_gateway(deployed, Ministack(stack.aws_endpoint_url))
    queue = boto3.client("sqs").create_queue(QueueName="who-hears-of-alarms")["QueueUrl"]
    arn = f"arn:aws:sqs:{stack.region}:000000000000:{queue.rpartition('/')[2]}"
    boto3.client("sns").subscribe(TopicArn=deployed.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)
    item = {"pass_id": f"{PASS_TYPE_IDENTIFIER}/{SERIAL_NUMBER}", "template": TEMPLATE, "fields": {"gate": "A1"}}
    boto3.resource("dynamodb").Table(deployed.tables["passes"]).put_item(Item=item)
    return SecondStage(
        deployed,
        replace(
            stack,
            stage=STAGE,
            api_url=api_url,
            tables=deployed.tables,
            queues=deployed.queues,
            functions=deployed.functions,
            templates_bucket=deployed.templates_bucket,
        ),
    )


def credentials(folder: Path) -> dict[str, Any]:
    """Make the secret of a pass type from the development certificates below `folder`."""
    files = folder / "certificates" if (folder / "certificates").exists() else folder
    return {
        "certificate": (files / "pass_type.pem").read_text(),
        "private_key": (files / "pass_type.key.pem").read_text(),
        "intermediate": (files / "intermediate.pem").read_text(),
        "apns": {
            "team_identifier": TEAM_IDENTIFIER,
            "key_id": KEY_ID,
            "private_key": (files / f"AuthKey_{KEY_ID}.p8").read_text(),
        },
    }
