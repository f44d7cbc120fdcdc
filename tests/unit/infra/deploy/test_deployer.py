"""Tests of deployments that are refused, declined or continued, by the answers of AWS."""

import json
from typing import Any

import pytest

from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from tests.support.cloud import CHANGE_SET, MISSING, NO_EVENTS, Cloud, stack


def test_rolled_back_import_is_removed_and_the_same_command_continues(cloud: Cloud) -> None:
    """CloudFormation can only delete such a stack; declined, nothing is changed."""
    cloud.says("DescribeStacks", stack(status="IMPORT_ROLLBACK_COMPLETE"))
    cloud.says("DescribeStackEvents", NO_EVENTS)
    template: dict[str, Any] = {"Parameters": {}, "Resources": {}}

    class Declines(Unattended):
        def allows(self, _question: str, /) -> bool:
            return False

    deployer = Deployer("dev", on_progress=lambda _: None)
    sentence = r"passwire-dev is in IMPORT_ROLLBACK_COMPLETE, .*; run: passwire destroy --stage dev"
    with pytest.raises(DeployError, match=sentence):
        deployer.change(template, parameters={}, dialogue=Declines())
    assert not {"DeleteStack", "CreateChangeSet"} & set(cloud.actions())

    cloud.afterwards["DeleteStack"] = lambda: cloud.says("DescribeStacks", stack(status="DELETE_COMPLETE"))
    cloud.says("CreateChangeSet", f"<R><CreateChangeSetResult><Id>{CHANGE_SET}</Id></CreateChangeSetResult></R>")
    cloud.says(
        "DescribeChangeSet",
        "<R><DescribeChangeSetResult><Status>FAILED</Status><StatusReason>The submitted information didn't contain "
        "changes</StatusReason></DescribeChangeSetResult></R>",
    )
    cloud.says("ListStacks", "<R><ListStacksResult><StackSummaries/></ListStacksResult></R>")
    cloud.says("ListChangeSets", "<R><ListChangeSetsResult><Summaries/></ListChangeSetsResult></R>")
    deployer.change(template, parameters={}, dialogue=Unattended())
    actions = cloud.actions()
    assert actions.index("DeleteStack") < actions.index("CreateChangeSet")


def test_region_without_a_service_is_refused_before_packaging(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """This region has no API Gateway, by botocore's list of endpoints."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-isob-west-1")
    with pytest.raises(DeployError, match=r"region us-isob-west-1 has no apigateway, .*; use another region"):
        Deployer("dev", on_progress=lambda _: None).deploy(pytest.fail, parameters={}, dialogue=Unattended())
    assert set(cloud.actions()) == {"DescribeStacks", "GetCallerIdentity"}


def test_domain_without_certificate_is_refused_before_packaging(cloud: Cloud) -> None:
    with pytest.raises(DeployError, match="requires CertificateArn"):
        Deployer("dev", on_progress=lambda _: None).deploy(
            pytest.fail, parameters={"DomainName": "passes.example.com"}, dialogue=Unattended()
        )
    assert set(cloud.actions()) == {"DescribeStacks"}


def test_changed_url_needs_confirmation_if_devices_are_registered(cloud: Cloud) -> None:
    """The question has their number, and no option answers it."""
    outputs = {"WebServiceUrl": "https://old.example.com", "DevicesTableName": "passwire-dev-devices"}
    cloud.says(
        "DescribeStacks",
        stack(status="UPDATE_COMPLETE", parameters={"WebServiceUrl": "https://old.example.com"}, outputs=outputs),
    )
    cloud.says("DescribeTable", json.dumps({"Table": {"ItemCount": 1204}}))
    cloud.says("CreateChangeSet", f"<R><CreateChangeSetResult><Id>{CHANGE_SET}</Id></CreateChangeSetResult></R>")
    cloud.says(
        "DescribeChangeSet",
        "<R><DescribeChangeSetResult><Status>CREATE_COMPLETE</Status></DescribeChangeSetResult></R>",
    )

    class Declines(Unattended):
        asked = ""

        def confirms(self, question: str, /) -> bool:
            self.asked = question
            return False

    dialogue = Declines()
    template: dict[str, Any] = {"Parameters": {"WebServiceUrl": {}}, "Resources": {}}
    with pytest.raises(DeployError, match="declined; nothing was changed"):
        Deployer("dev", on_progress=lambda _: None).change(
            template, parameters={"WebServiceUrl": "https://new.example.com"}, dialogue=dialogue
        )
    for part in ("Registered devices: 1204", "https://old.example.com", "https://new.example.com"):
        assert part in dialogue.asked
    assert "ExecuteChangeSet" not in cloud.actions()

    cloud.says("DescribeTable", json.dumps({"Table": {"ItemCount": 0}}))
    cloud.says("Scan", json.dumps({"Count": 0, "Items": []}))
    dialogue.asked = ""
    cloud.says("/account", json.dumps({"cloudwatchRoleArn": "arn:aws:iam::123456789012:role/logs"}))
    cloud.says("DescribeStackEvents", NO_EVENTS)
    cloud.says("ExecuteChangeSet", MISSING, status=400)  # far enough
    with pytest.raises(DeployError, match="another deployment"):
        Deployer("dev", on_progress=lambda _: None).change(
            template, parameters={"WebServiceUrl": "https://new.example.com"}, dialogue=dialogue
        )
    assert dialogue.asked == "", "no device has the old address"
