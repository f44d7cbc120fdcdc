"""The IAM policy of the credentials that deploy a stage.

It allows the calls of `deploy` and `diff`, which the suite records (`test_deployer_policy.py`), and CloudFormation's
calls with the same credentials for each type of resource in the template.
"""

from collections.abc import Iterable
from typing import Any

OWN_ACTIONS = (
    "apigateway:GET",
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeEvents",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:ListChangeSets",
    "cloudformation:ListStacks",
    "cloudformation:UpdateTerminationProtection",
    "dynamodb:DescribeTable",
    "dynamodb:Scan",
    "lambda:GetAccountSettings",
    "s3:CreateBucket",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutLifecycleConfiguration",
    "s3:PutObject",
    "secretsmanager:CreateSecret",
    "secretsmanager:DescribeSecret",
)
"""The calls of `deploy` and `diff`. DeleteStack is for a first deployment that failed."""
FIRST_IN_ACCOUNT = ("apigateway:PATCH", "iam:AttachRolePolicy", "iam:CreateRole", "iam:GetRole", "iam:PassRole")
"""Needed once per account and region, until API Gateway may write logs (`gateway_logs.py`)."""
BY_RESOURCE_TYPE: dict[str, tuple[str, ...]] = {
    "AWS::ApiGateway::": ("apigateway:*",),
    "AWS::CloudWatch::Alarm": (
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:ListTagsForResource",
        "cloudwatch:TagResource",
        "cloudwatch:UntagResource",
    ),
    "AWS::CloudWatch::Dashboard": (
        "cloudwatch:PutDashboard",
        "cloudwatch:DeleteDashboards",
        "cloudwatch:GetDashboard",
    ),
    "AWS::DynamoDB::Table": (
        "dynamodb:*Table*",
        "dynamodb:*TimeToLive*",
        "dynamodb:*ContinuousBackups*",
        "dynamodb:*Tag*",
    ),
    "AWS::Events::Rule": ("events:*Rule*", "events:*Targets*", "events:*Tag*"),
    "AWS::IAM::Role": ("iam:*Role", "iam:*RolePolicy", "iam:*RolePolicies", "iam:*RoleTags"),
    "AWS::Lambda::": ("lambda:*",),
    "AWS::Logs::LogGroup": (
        "logs:CreateLogGroup",
        "logs:DeleteLogGroup",
        "logs:DescribeLogGroups",
        "logs:PutRetentionPolicy",
        "logs:*Tag*",
        "logs:*LogDelivery",
    ),
    "AWS::Route53::RecordSet": (
        "route53:ChangeResourceRecordSets",
        "route53:GetChange",
        "route53:ListResourceRecordSets",
    ),
    "AWS::S3::": (
        "s3:CreateBucket",
        "s3:GetBucket*",
        "s3:PutBucket*",
        "s3:DeleteBucketPolicy",
        "s3:PutEncryptionConfiguration",
        "s3:GetEncryptionConfiguration",
    ),
    "AWS::SNS::Topic": ("sns:*Topic*", "sns:*Tag*", "sns:ListSubscriptionsByTopic"),
    "AWS::SQS::Queue": (
        "sqs:CreateQueue",
        "sqs:DeleteQueue",
        "sqs:*QueueAttributes",
        "sqs:*Queue*Tag*",
        "sqs:GetQueueUrl",
    ),
    "AWS::WAFv2::": ("wafv2:*WebACL*", "wafv2:*Tag*"),
}
"""IAM actions by resource type or by prefix of types (AWS, "CloudFormation resource schema", `handlers`)."""


def deployer_policy(resource_types: Iterable[str]) -> dict[str, Any]:
    """Return the IAM policy document.

    Args:
        resource_types: the types of the translated template.

    Raises:
        KeyError: `BY_RESOURCE_TYPE` lacks a type.
    """
    needed = {action for kind in resource_types for action in _actions_of(kind)}
    statements = (
        ("Commands", OWN_ACTIONS),
        ("FirstInAccount", FIRST_IN_ACCOUNT),
        ("Resources", sorted(needed)),
    )
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": "*"} for sid, actions in statements
        ],
    }


def _actions_of(resource_type: str) -> tuple[str, ...]:
    for prefix, actions in BY_RESOURCE_TYPE.items():
        if resource_type.startswith(prefix):
            return actions
    raise KeyError(f"{resource_type}: add the IAM actions that CloudFormation needs for it to BY_RESOURCE_TYPE")
