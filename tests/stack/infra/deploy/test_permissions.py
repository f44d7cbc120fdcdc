"""The permissions of `diff`, `deploy` and `doctor` are their calls, and CloudFormation's those of its schemas."""

import copy
import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.session import Session
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # it has no types
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # it has no types

from chalicelib.aws.session import shared
from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.package import Package
from infra.deploy.permissions.commands import DEPLOY, DIFF, DOCTOR, FIRST_IN_ACCOUNT
from infra.deploy.permissions.grants import Grant
from infra.deploy.permissions.resources import BY_RESOURCE_TYPE, grants_for
from infra.deploy.template import with_code
from infra.local.run import LocalRun
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.run import run_checks
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys
from infra.stage.stage import Stage
from tests.support.sam import NoManagedPolicies
from tests.support.second_stage import SecondStage

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
    "apigateway:GetStage": "apigateway:GET",
    "apigateway:UpdateAccount": "apigateway:PATCH",
    "monitoring:DescribeAlarms": "cloudwatch:DescribeAlarms",
    "monitoring:GetMetricStatistics": "cloudwatch:GetMetricStatistics",
}
"""IAM actions by operation (AWS, "Service Authorization Reference")."""
WITHOUT_PERMISSION = {"sts:GetCallerIdentity"}
BUCKET_EXISTS = "the deploy bucket exists since the session's own stage was deployed"
NOT_MET = {
    "cloudformation:DescribeEvents": "nothing is refused here",
    "cloudformation:ListChangeSets": "only for a stage that is not deployed",
    "cloudformation:ListStacks": "the stage's name was not used before",
    "s3:CreateBucket": BUCKET_EXISTS,
    "s3:PutBucketPolicy": BUCKET_EXISTS,
    "s3:PutBucketPublicAccessBlock": BUCKET_EXISTS,
    "s3:PutLifecycleConfiguration": BUCKET_EXISTS,
    "s3:DeleteObject": "the stage has no old code",
}
"""Granted actions of `diff` and `deploy` that are not recorded here, with the reason."""
NOT_MET_BY_DOCTOR = {
    "apigateway:GET": "the stage has no domain",
    "s3:GetObject": "no template was pushed to the stage",
}
NOT_NEEDED = {
    "events:*Permission": "the bus has no policy",
    "dynamodb:*ableKinesisStreamingDestination": "no Kinesis stream is a destination",
    "dynamodb:UpdateKinesisStreamingDestination": "as above",
    "kinesis:*": "as above",
    "dynamodb:*Replica": "no table is global",
    "dynamodb:*Item": "as above",
    "dynamodb:Scan": "as above",
    "dynamodb:Query": "as above",
    "dynamodb:*Import*": "no table is imported from S3",
    "dynamodb:UpdateContributorInsights": "not used",
    "dynamodb:PutResourcePolicy": "tables have no policy",
    "dynamodb:DeleteResourcePolicy": "as above",
    "dynamodb:DeleteTable": "tables are retained",
    "s3:DeleteBucket": "the bucket is retained",
    "iam:CreateServiceLinkedRole": "for global tables",
    "iam:*PermissionsBoundary": "roles have no boundary",
    "kms:*": "no resource has a key, except tables with `TablesKeyArn`",
    "ec2:*": "functions are in no VPC, and web ACLs protect an API",
    "elasticfilesystem:*": "functions have no file system",
    "s3files:*": "as above",
    "lambda:GetCodeSigningConfig": "code is not signed",
    "lambda:PutFunctionCodeSigningConfig": "as above",
    "lambda:DeleteFunctionCodeSigningConfig": "as above",
    "lambda:*LayerVersion": "functions have no layers",
    "lambda:PutRuntimeManagementConfig": "AWS's default",
    "lambda:PutFunctionScalingConfig": "no capacity provider",
    "lambda:PassCapacityProvider": "as above",
    "lambda:AssociateRuntimeAlias": "as above",
    "lambda:PublishVersion": "functions have no versions",
    "s3:GetObjectVersion": "code has no version id",
    "s3:REST*": "log groups are not delivered elsewhere",
    "firehose:*": "as above",
    "logs:*LogDelivery": "as above",
    "logs:PutDataProtectionPolicy": "log groups mask nothing",
    "logs:DeleteDataProtectionPolicy": "as above",
    "logs:PutIndexPolicy": "log groups have no field index",
    "logs:DeleteIndexPolicy": "as above",
    "logs:PutResourcePolicy": "log groups have no policy",
    "logs:DeleteResourcePolicy": "as above",
    "logs:PutBearerTokenAuthentication": "not used",
    "logs:PutLogGroupDeletionProtection": "not used",
    "logs:*KmsKey": "log groups have no key",
    "logs:*LogStream*": "for an import from S3",
    "logs:PutLogEvents": "as above",
    "apigateway:UpdateRestApiPolicy": "the API has no policy",
    "sns:*ubscribe": "a person subscribes to the topic",
    "sns:PutDataProtectionPolicy": "messages are not masked",
    "wafv2:*PermissionPolicy": "the web ACL is not shared",
    "payments:*": "the web ACL has no paid rule group",
    **dict.fromkeys(
        ("appsync:*", "cognito-idp:*", "apprunner:*", "amplify:*", "elasticloadbalancing:*", "bedrock-agentcore:*"),
        "the web ACL protects an API of API Gateway",
    ),
    "s3tables:*": "the bucket has no metadata tables",
    "s3:*Metadata*": "as above",
    **dict.fromkeys(
        (
            "s3:DeleteBucketAnalyticsConfiguration",
            "s3:DeleteBucketCors",
            "s3:DeleteBucketEncryption",
            "s3:DeleteBucketLifecycle",
            "s3:DeleteBucketMetricsConfiguration",
            "s3:DeleteBucketReplication",
            "s3:DeleteBucketTagging",
            "s3:DeleteBucketWebsite",
            "s3:DeleteObject",
            "s3:PutAccelerateConfiguration",
            "s3:PutAnalyticsConfiguration",
            "s3:PutBucketAbac",
            "s3:PutBucketAcl",
            "s3:PutBucketCORS",
            "s3:PutBucketLogging",
            "s3:PutBucketNotification",
            "s3:PutBucketObjectLockConfiguration",
            "s3:PutBucketReplication",
            "s3:PutBucketWebsite",
            "s3:PutIntelligentTieringConfiguration",
            "s3:PutInventoryConfiguration",
            "s3:PutLifecycleConfiguration",
            "s3:PutMetricsConfiguration",
            "s3:PutObjectAcl",
            "s3:PutObjectLockConfiguration",
            "s3:PutReplicationConfiguration",
        ),
        "the bucket has none of these properties",
    ),
}
"""Permissions of AWS's schemas that this template does not need, by pattern, with the reason."""
NEEDED_OF_OTHER_SERVICES = {
    "AWS::Lambda::Function": {"iam:PassRole", "s3:GetObject"},
    "AWS::DynamoDB::Table": {"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"},
    "AWS::WAFv2::WebACLAssociation": {"apigateway:SetWebACL"},
}
"""Granted permissions of another service than the resource's own, by type; others of the schemas are for properties
that the template does not set."""


@pytest.fixture(scope="module")
def translated(local_package: Package) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        template = with_code(copy.deepcopy(local_package.template), bucket="bucket", key="key")
        found: dict[str, Any] = transform(template, {}, NoManagedPolicies())
    return found


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Record the IAM actions that this process's AWS clients need."""
    found: set[str] = set()
    session = Session()

    def called(model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's
        action = f"{model.service_model.signing_name}:{model.name}"
        found.add(OTHERWISE_NAMED.get(action, action))

    session.register("before-call.*.*", called)
    boto3.setup_default_session(botocore_session=session)
    services = shared().events
    services.register("before-call.*.*", called)
    try:
        yield found
    finally:
        boto3.setup_default_session()
        services.unregister("before-call.*.*", called)


@pytest.fixture
def stage(stack: LocalRun) -> Iterator[str]:
    """The name of a stage that is deleted, unrecorded, at the end."""
    assert stack
    yield STAGE
    Deployer(STAGE, on_progress=lambda _: None).destroy(with_data=True, dialogue=Unattended())


def actions(grants: Iterable[Grant]) -> set[str]:
    return {action for grant in grants for action in grant.actions}


def compare(used: set[str], grants: Iterable[Grant], *, not_met: Mapping[str, str]) -> None:
    granted = actions(grants)
    used = used - WITHOUT_PERMISSION - actions(FIRST_IN_ACCOUNT)
    granted -= actions(FIRST_IN_ACCOUNT)
    assert used - granted == set(), "not granted"
    assert granted - used - set(not_met) == set(), "granted, but not used"


def test_diff_and_deploy_are_granted_exactly_their_calls(local_package: Package, stage: str) -> None:
    broken = replace(local_package, template=copy.deepcopy(local_package.template))
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 99999999}}
    broken.template["Resources"]["Broken"] = queue
    with recorded() as by_deploy:
        deployer = Deployer(stage, on_progress=lambda _: None)
        check_authentication_keys(stage)
        with pytest.raises(DeployError):
            deployer.deploy(lambda: broken, parameters={}, dialogue=Unattended())
        deployer.deploy(
            lambda: local_package, parameters={"WebServiceUrl": "https://a.example.com"}, dialogue=Unattended()
        )
        ensure_authentication_keys(stage)
    with recorded() as by_diff:
        deployer = Deployer(stage, on_progress=lambda _: None)
        assert deployer.diff(lambda: local_package, parameters={"WebServiceUrl": "https://b.example.com"})
    with recorded() as by_change:
        Deployer(stage, on_progress=lambda _: None).deploy(
            lambda: local_package, parameters={"WebServiceUrl": "https://b.example.com"}, dialogue=Unattended()
        )
    compare(by_diff, DIFF, not_met=NOT_MET)
    compare(by_deploy | by_change | by_diff, DEPLOY, not_met=NOT_MET)


def test_doctor_is_granted_exactly_its_calls(second_stage: SecondStage) -> None:
    with recorded() as by_doctor:
        run_checks(DoctorContext(Stage.open(second_stage.stage.name)), on_progress=lambda _: None)
    compare(by_doctor, DOCTOR, not_met=NOT_MET_BY_DOCTOR)


def test_credentials_for_diff_cannot_deploy() -> None:
    granted = actions(DIFF)
    assert not granted & {"cloudformation:ExecuteChangeSet", "cloudformation:DeleteStack", "iam:PassRole"}
    writes = [grant for grant in DIFF if "s3:PutObject" in grant.actions]
    assert [arn.partition(":::")[2] for grant in writes for arn in grant.resources] == [
        "passwire-deploy-${AWS::AccountId}-${AWS::Region}/${Stage}/diff/*"
    ]


def test_every_resource_type_of_the_template_has_its_permissions(translated: dict[str, Any]) -> None:
    kinds = {resource["Type"] for resource in translated["Resources"].values()}
    assert kinds == set(BY_RESOURCE_TYPE)
    with pytest.raises(KeyError, match="AWS::Kinesis::Stream"):
        grants_for(["AWS::Kinesis::Stream"])


@pytest.mark.parametrize("kind", sorted(BY_RESOURCE_TYPE))
def test_cloudformation_is_granted_what_the_schema_of_the_resource_type_requires(kind: str) -> None:
    """The schemas are AWS's own, as cfn-lint contains them."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", kind).schema
    handlers: dict[str, Any] = schema["handlers"]
    listed = {name: set(handler.get("permissions", [])) for name, handler in handlers.items() if name != "list"}
    required = set().union(*listed.values()) | set((schema.get("tagging") or {}).get("permissions", []))
    granted = actions(BY_RESOURCE_TYPE[kind])
    assert granted - required == set(), "granted, but not required"
    own = {action.partition(":")[0] for action in granted} - {
        action.partition(":")[0] for action in NEEDED_OF_OTHER_SERVICES.get(kind, ())
    }
    missing = {action for action in required - granted if action.partition(":")[0] in own}
    unexplained = {a for a in missing if not any(fnmatch.fnmatchcase(a, pattern) for pattern in NOT_NEEDED)}
    assert unexplained == set(), "required, but not granted"


def test_all_resources_are_granted_only_with_a_reason() -> None:
    grants = [*DIFF, *DEPLOY, *FIRST_IN_ACCOUNT, *DOCTOR, *grants_for(BY_RESOURCE_TYPE)]
    assert [g for g in grants if "*" in g.resources and not g.reason] == []
    assert [action for action in actions(grants) if "*" in action] == []
