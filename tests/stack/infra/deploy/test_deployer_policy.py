"""The deployer's policy grants exactly the recorded calls of `deploy` and `diff`."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.session import Session
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # it has no types

from infra.deploy.change_sets import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.deployer_policy import FIRST_IN_ACCOUNT, OWN_ACTIONS, deployer_policy
from infra.deploy.errors import DeployError
from infra.deploy.package import Package, build_package
from infra.deploy.template import with_code
from infra.local.run import LocalRun
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys
from tests.support.sam import NoManagedPolicies

pytestmark = pytest.mark.timeout(400)
STAGE = "recorded"
OTHERWISE_NAMED = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "apigateway:GetAccount": "apigateway:GET",
    "apigateway:UpdateAccount": "apigateway:PATCH",
}
"""IAM actions by operation (AWS, "Service Authorization Reference")."""
WITHOUT_PERMISSION = {"sts:GetCallerIdentity"}
BUCKET_EXISTS = "the deploy bucket exists since the session's own stage was deployed"
NOT_MET = {
    "cloudformation:DescribeEvents": "the embedded AWS refuses no change set",
    "cloudformation:ListStacks": "the embedded AWS releases a queue's name at once",
    "s3:CreateBucket": BUCKET_EXISTS,
    "s3:PutBucketPolicy": BUCKET_EXISTS,
    "s3:PutBucketPublicAccessBlock": BUCKET_EXISTS,
    "s3:PutLifecycleConfiguration": BUCKET_EXISTS,
    "dynamodb:Scan": "no URL is changed here",
    "s3:DeleteObject": "the stage has no old code",
}
"""Actions that are not recorded here, with the reason."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_package("dev", tmp_path_factory.mktemp("package"))


@pytest.fixture
def called(stack: LocalRun) -> Iterator[set[str]]:
    """IAM actions that this process's AWS clients ask for; afterwards the stage is deleted unrecorded."""
    assert stack
    found: set[str] = set()
    session = Session()

    def asked(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        action = f"{model.service_model.signing_name}:{model.name}"
        found.add(OTHERWISE_NAMED.get(action, action))

    session.register("before-call.*.*", asked)
    boto3.setup_default_session(botocore_session=session)
    yield found
    boto3.setup_default_session()
    Deployer(STAGE, on_progress=lambda _: None).destroy(with_data=True, dialogue=Unattended())


def test_policy_grants_exactly_the_calls_of_deploy_and_diff(package: Package, called: set[str]) -> None:
    broken = replace(package, template=copy.deepcopy(package.template))
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 99999999}}
    broken.template["Resources"]["Broken"] = queue
    deployer = Deployer(STAGE, on_progress=lambda _: None)
    check_authentication_keys(STAGE)
    assert deployer.diff(lambda: package, parameters={})
    with pytest.raises(DeployError):
        deployer.deploy(lambda: broken, parameters={}, dialogue=Unattended())
    deployer.deploy(lambda: package, parameters={"WebServiceUrl": "https://a.example.com"}, dialogue=Unattended())
    deployer.deploy(lambda: package, parameters={"WebServiceUrl": "https://b.example.com"}, dialogue=Unattended())
    ensure_authentication_keys(STAGE)
    used = called - WITHOUT_PERMISSION - set(FIRST_IN_ACCOUNT)
    assert used - set(OWN_ACTIONS) == set(), "not granted"
    assert set(OWN_ACTIONS) - used - set(NOT_MET) == set(), "granted, but not used"


def test_policy_covers_every_resource_type_of_the_template(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    template = with_code(copy.deepcopy(package.template), bucket="bucket", key="key")
    translated = transform(template, {}, NoManagedPolicies())
    policy = deployer_policy({resource["Type"] for resource in translated["Resources"].values()})
    assert [statement["Sid"] for statement in policy["Statement"]] == ["Commands", "FirstInAccount", "Resources"]
    with pytest.raises(KeyError, match="AWS::Kinesis::Stream"):
        deployer_policy(["AWS::Kinesis::Stream"])
