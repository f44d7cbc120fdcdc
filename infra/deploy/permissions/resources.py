"""The actions that CloudFormation calls with the deployer's credentials, by type of resource.

They are the permissions of the handlers in AWS's resource schemas, without those for properties that the template does
not set. `tests/stack/infra/deploy/test_permissions.py` compares them with the schemas that cfn-lint contains.
"""

from collections.abc import Iterable

from infra.deploy.permissions.grants import Grant, arn

XRAY_POLICY = "arn:${AWS::Partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"
"""The managed policy of the functions' roles if `Tracing` is on."""
FUNCTIONS = arn("lambda", "function:passwire-${Stage}-*")
ROLES = arn("iam", "role/passwire-${Stage}-*", region="")
QUEUES = arn("sqs", "passwire-${Stage}-*")
TOPIC = arn("sns", "passwire-${Stage}-alarms")
TABLES = arn("dynamodb", "table/passwire-${Stage}-*")
TEMPLATES_BUCKET = arn("s3", "passwire-${Stage}-${AWS::AccountId}-${AWS::Region}", region="", account="")
API_IDS = "API Gateway chooses the ids of APIs, and the path of a request is its resource"
WEB_ACL = arn("wafv2", "regional/webacl/passwire-${Stage}/*")


def _gateway(path: str) -> str:
    return arn("apigateway", path, account="")


def _gateway_actions(*methods: str) -> tuple[str, ...]:
    return tuple(f"apigateway:{method}" for method in methods)


REST_APIS = Grant(
    _gateway_actions("DELETE", "GET", "PATCH", "POST", "PUT"),
    (_gateway("/restapis"), _gateway("/restapis/*"), _gateway("/tags/*")),
    API_IDS,
)
OF_A_PARAMETER = "the domain is the stack parameter `DomainName`"
DOMAIN_MAPPINGS = _gateway("/domainnames/*/basepathmappings*")
DOMAIN_NAMES = Grant(
    _gateway_actions("DELETE", "GET", "PATCH", "POST", "PUT"),
    (_gateway("/domainnames"), _gateway("/domainnames/*"), _gateway("/tags/*")),
    "the domain is a parameter of the stack",
)
MAPPINGS = arn("lambda", "event-source-mapping:*")
OF_THIS_STAGE = {"ArnLike": {"lambda:FunctionArn": FUNCTIONS}}

BY_RESOURCE_TYPE: dict[str, tuple[Grant, ...]] = {
    "AWS::ApiGateway::BasePathMapping": (
        Grant(_gateway_actions("DELETE", "GET", "PATCH", "POST"), (DOMAIN_MAPPINGS,), OF_A_PARAMETER),
    ),
    "AWS::ApiGateway::Deployment": (REST_APIS,),
    "AWS::ApiGateway::DomainName": (DOMAIN_NAMES,),
    "AWS::ApiGateway::RestApi": (REST_APIS,),
    "AWS::ApiGateway::Stage": (REST_APIS,),
    "AWS::CloudWatch::Alarm": (
        Grant(
            (
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ),
            (arn("cloudwatch", "alarm:passwire-${Stage}-*"),),
        ),
    ),
    "AWS::CloudWatch::Dashboard": (
        Grant(
            (
                "cloudwatch:DeleteDashboards",
                "cloudwatch:GetDashboard",
                "cloudwatch:ListTagsForResource",
                "cloudwatch:PutDashboard",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
            ),
            (arn("cloudwatch", "dashboard/passwire-${Stage}", region=""),),
        ),
    ),
    "AWS::DynamoDB::Table": (
        Grant(
            (
                "dynamodb:CreateTable",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeContributorInsights",
                "dynamodb:DescribeKinesisStreamingDestination",
                "dynamodb:DescribeTable",
                "dynamodb:DescribeTimeToLive",
                "dynamodb:GetResourcePolicy",
                "dynamodb:ListTagsOfResource",
                "dynamodb:TagResource",
                "dynamodb:UntagResource",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:UpdateTable",
                "dynamodb:UpdateTimeToLive",
            ),
            (TABLES,),
        ),
        Grant(
            ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt"),
            (arn("kms", "key/*"),),
            "the key is the stack parameter `TablesKeyArn`; without it, no key is used",
            {"StringEquals": {"kms:ViaService": "dynamodb.${AWS::Region}.amazonaws.com"}},
        ),
    ),
    "AWS::Events::EventBus": (
        Grant(
            (
                "events:CreateEventBus",
                "events:DeleteEventBus",
                "events:DescribeEventBus",
                "events:ListTagsForResource",
                "events:TagResource",
                "events:UntagResource",
                "events:UpdateEventBus",
            ),
            (arn("events", "event-bus/passwire-${Stage}"),),
        ),
    ),
    "AWS::Events::Archive": (
        Grant(
            ("events:CreateArchive", "events:DeleteArchive", "events:DescribeArchive", "events:UpdateArchive"),
            (arn("events", "archive/passwire-${Stage}"), arn("events", "event-bus/passwire-${Stage}")),
        ),
    ),
    "AWS::Events::Rule": (
        Grant(
            (
                "events:DeleteRule",
                "events:DescribeRule",
                "events:ListTagsForResource",
                "events:ListTargetsByRule",
                "events:PutRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "events:TagResource",
                "events:UntagResource",
            ),
            (arn("events", "rule/passwire-${Stage}-*"),),
        ),
    ),
    "AWS::IAM::Role": (
        Grant(
            (
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:ListRoleTags",
                "iam:PutRolePolicy",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
                "iam:UpdateRole",
                "iam:UpdateRoleDescription",
            ),
            (ROLES,),
        ),
        Grant(
            ("iam:AttachRolePolicy", "iam:DetachRolePolicy"),
            (ROLES,),
            condition={"ArnEquals": {"iam:PolicyARN": XRAY_POLICY}},
        ),
    ),
    "AWS::Lambda::EventSourceMapping": (
        Grant(
            ("lambda:CreateEventSourceMapping",),
            ("*",),
            "the action has no resource type; the condition limits it to functions of this stage",
            OF_THIS_STAGE,
        ),
        Grant(
            (
                "lambda:DeleteEventSourceMapping",
                "lambda:GetEventSourceMapping",
                "lambda:UpdateEventSourceMapping",
            ),
            (MAPPINGS,),
            "Lambda chooses the ids of mappings; the condition limits it to functions of this stage",
            OF_THIS_STAGE,
        ),
        Grant(
            ("lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"),
            (MAPPINGS,),
            "Lambda chooses the ids of mappings",
        ),
    ),
    "AWS::Lambda::Function": (
        Grant(
            (
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:DeleteFunctionConcurrency",
                "lambda:GetFunction",
                "lambda:GetFunctionCodeSigningConfig",
                "lambda:GetFunctionRecursionConfig",
                "lambda:GetFunctionScalingConfig",
                "lambda:GetRuntimeManagementConfig",
                "lambda:ListTags",
                "lambda:PutFunctionConcurrency",
                "lambda:PutFunctionRecursionConfig",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
            ),
            (FUNCTIONS,),
        ),
        Grant(
            ("iam:PassRole",),
            (ROLES,),
            condition={"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
        ),
        Grant(
            ("s3:GetObject",),
            (
                arn(
                    "s3",
                    "passwire-deploy-${AWS::AccountId}-${AWS::Region}/${Stage}/*",
                    region="",
                    account="",
                ),
            ),
        ),
    ),
    "AWS::Lambda::Permission": (
        Grant(("lambda:AddPermission", "lambda:GetPolicy", "lambda:RemovePermission"), (FUNCTIONS,)),
    ),
    "AWS::Logs::LogGroup": (
        Grant(
            (
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:DeleteRetentionPolicy",
                "logs:DescribeIndexPolicies",
                "logs:GetDataProtectionPolicy",
                "logs:ListTagsForResource",
                "logs:PutRetentionPolicy",
                "logs:TagResource",
                "logs:UntagResource",
            ),
            (
                arn("logs", "log-group:/aws/lambda/passwire-${Stage}-*"),
                arn("logs", "log-group:/aws/apigateway/passwire-${Stage}*"),
            ),
        ),
        Grant(
            ("logs:DescribeLogGroups", "logs:DescribeResourcePolicies"),
            ("*",),
            "they list what the account has",
        ),
    ),
    "AWS::Route53::RecordSet": (
        Grant(
            (
                "route53:ChangeResourceRecordSets",
                "route53:GetHostedZone",
                "route53:ListResourceRecordSets",
            ),
            ("arn:${AWS::Partition}:route53:::hostedzone/*",),
            "the hosted zone is the stack parameter `HostedZoneId`",
        ),
        Grant(
            ("route53:GetChange",),
            ("arn:${AWS::Partition}:route53:::change/*",),
            "Route 53 chooses the ids of changes",
        ),
        Grant(("route53:ListHostedZones",), ("*",), "it lists what the account has"),
    ),
    "AWS::S3::Bucket": (
        Grant(
            (
                "s3:CreateBucket",
                "s3:GetAccelerateConfiguration",
                "s3:GetAnalyticsConfiguration",
                "s3:GetBucketAbac",
                "s3:GetBucketAcl",
                "s3:GetBucketCORS",
                "s3:GetBucketLogging",
                "s3:GetBucketNotification",
                "s3:GetBucketObjectLockConfiguration",
                "s3:GetBucketOwnershipControls",
                "s3:GetBucketPublicAccessBlock",
                "s3:GetBucketTagging",
                "s3:GetBucketVersioning",
                "s3:GetBucketWebsite",
                "s3:GetEncryptionConfiguration",
                "s3:GetIntelligentTieringConfiguration",
                "s3:GetInventoryConfiguration",
                "s3:GetLifecycleConfiguration",
                "s3:GetMetricsConfiguration",
                "s3:GetReplicationConfiguration",
                "s3:ListBucket",
                "s3:ListTagsForResource",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:TagResource",
                "s3:UntagResource",
            ),
            (TEMPLATES_BUCKET,),
        ),
    ),
    "AWS::S3::BucketPolicy": (
        Grant(("s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"), (TEMPLATES_BUCKET,)),
    ),
    "AWS::SNS::Topic": (
        Grant(
            (
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:GetDataProtectionPolicy",
                "sns:GetTopicAttributes",
                "sns:ListSubscriptionsByTopic",
                "sns:ListTagsForResource",
                "sns:SetTopicAttributes",
                "sns:TagResource",
                "sns:UntagResource",
            ),
            (TOPIC,),
        ),
    ),
    "AWS::SQS::Queue": (
        Grant(
            (
                "sqs:CreateQueue",
                "sqs:DeleteQueue",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ListQueueTags",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
                "sqs:UntagQueue",
            ),
            (QUEUES,),
        ),
    ),
    "AWS::WAFv2::WebACL": (
        Grant(
            (
                "wafv2:CreateWebACL",
                "wafv2:DeleteWebACL",
                "wafv2:GetWebACL",
                "wafv2:ListTagsForResource",
                "wafv2:TagResource",
                "wafv2:UntagResource",
                "wafv2:UpdateWebACL",
            ),
            (WEB_ACL,),
        ),
    ),
    "AWS::WAFv2::WebACLAssociation": (
        Grant(
            (
                "apigateway:SetWebACL",
                "wafv2:AssociateWebACL",
                "wafv2:DisassociateWebACL",
                "wafv2:GetWebACL",
                "wafv2:GetWebACLForResource",
            ),
            (WEB_ACL, _gateway("/restapis/*/stages/*")),
            API_IDS,
        ),
    ),
}
"""Grants by CloudFormation's type."""


def grants_for(resource_types: Iterable[str]) -> list[Grant]:
    """Return the grants for all types of a translated template.

    Raises:
        KeyError: `BY_RESOURCE_TYPE` lacks a type.
    """
    wanted = sorted(set(resource_types))
    if unknown := [kind for kind in wanted if kind not in BY_RESOURCE_TYPE]:
        raise KeyError(f"{unknown[0]}: add the IAM actions that CloudFormation needs for it to BY_RESOURCE_TYPE")
    return [grant for kind in wanted for grant in BY_RESOURCE_TYPE[kind]]
