"""The AWS calls of `diff`, `deploy` and `doctor` themselves, as grants.

The suite records the calls and compares (`tests/stack/infra/deploy/test_permissions.py`).
"""

from infra.deploy.deployer import DIFF_FOLDER
from infra.deploy.gateway_logs import ROLE
from infra.deploy.permissions.grants import Grant, arn, merged
from infra.deploy.permissions.resources import (
    BY_RESOURCE_TYPE,
    DOMAIN_MAPPINGS,
    FUNCTIONS,
    OF_A_PARAMETER,
    QUEUES,
    TABLES,
    TEMPLATES_BUCKET,
    TOPIC,
    grants_for,
)

DEPLOY_BUCKET = arn("s3", "passwire-deploy-${AWS::AccountId}-${AWS::Region}", region="", account="")
STACK = arn("cloudformation", "stack/passwire-${Stage}/*")
SAM = arn("cloudformation", "transform/Serverless-2016-10-31", account="aws")
KEYS = arn("secretsmanager", "secret:passwire/${Stage}/authentication-keys-??????")
GATEWAY_ACCOUNT = arn("apigateway", "/account", account="")
GATEWAY_ROLE = arn("iam", f"role/{ROLE}", region="")
GATEWAY_POLICY = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
WHOLE_ACCOUNT = "it is about the account and has no resource type"

DIFF: tuple[Grant, ...] = (
    Grant(
        (
            "cloudformation:DeleteChangeSet",
            "cloudformation:DescribeChangeSet",
            "cloudformation:DescribeEvents",
            "cloudformation:DescribeStacks",
            "cloudformation:ListChangeSets",
        ),
        (STACK,),
    ),
    Grant(("cloudformation:CreateChangeSet",), (STACK, SAM), "the template uses the SAM transform, which AWS owns"),
    Grant(("lambda:GetAccountSettings",), ("*",), WHOLE_ACCOUNT),
    Grant(("s3:ListBucket",), (DEPLOY_BUCKET,), "the deploy bucket belongs to the account and the region"),
    Grant(("s3:GetObject", "s3:PutObject"), (f"{DEPLOY_BUCKET}/${{Stage}}/{DIFF_FOLDER}/*",)),
)
"""`diff`. It cannot execute a change set, nor write what `deploy` reads."""

DEPLOY: tuple[Grant, ...] = (
    *DIFF,
    Grant(
        (
            "cloudformation:DeleteStack",
            "cloudformation:DescribeStackEvents",
            "cloudformation:ExecuteChangeSet",
            "cloudformation:UpdateTerminationProtection",
        ),
        (STACK,),
    ),
    Grant(("cloudformation:ListStacks",), ("*",), WHOLE_ACCOUNT),
    Grant(("dynamodb:DescribeTable",), (TABLES,)),
    Grant(("dynamodb:Scan",), (arn("dynamodb", "table/passwire-${Stage}-devices"),)),
    Grant(("s3:ListBucket",), (TEMPLATES_BUCKET,)),
    Grant(
        (
            "s3:CreateBucket",
            "s3:PutBucketPolicy",
            "s3:PutBucketPublicAccessBlock",
            "s3:PutLifecycleConfiguration",
        ),
        (DEPLOY_BUCKET,),
        "the deploy bucket belongs to the account and the region",
    ),
    Grant(("s3:DeleteObject", "s3:GetObject", "s3:PutObject"), (f"{DEPLOY_BUCKET}/${{Stage}}/*",)),
    Grant(("secretsmanager:CreateSecret", "secretsmanager:DescribeSecret"), (KEYS,)),
    Grant(("apigateway:GET",), (GATEWAY_ACCOUNT,), WHOLE_ACCOUNT),
)
"""`deploy`. DeleteStack is for a first deployment that failed."""

FIRST_IN_ACCOUNT: tuple[Grant, ...] = (
    Grant(("apigateway:PATCH",), (GATEWAY_ACCOUNT,), WHOLE_ACCOUNT),
    Grant(("iam:CreateRole", "iam:GetRole"), (GATEWAY_ROLE,), WHOLE_ACCOUNT),
    Grant(
        ("iam:AttachRolePolicy",),
        (GATEWAY_ROLE,),
        WHOLE_ACCOUNT,
        {"ArnEquals": {"iam:PolicyARN": GATEWAY_POLICY}},
    ),
    Grant(
        ("iam:PassRole",),
        (GATEWAY_ROLE,),
        WHOLE_ACCOUNT,
        {"StringEquals": {"iam:PassedToService": "apigateway.amazonaws.com"}},
    ),
)
"""`deploy`, until API Gateway may write logs in the account (`gateway_logs.py`)."""

DOCTOR: tuple[Grant, ...] = (
    Grant(("cloudformation:DescribeStacks",), (STACK,)),
    Grant(("lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetFunctionRecursionConfig"), (FUNCTIONS,)),
    Grant(
        ("dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"),
        (TABLES,),
    ),
    Grant(("dynamodb:Scan",), (arn("dynamodb", "table/passwire-${Stage}-passes"),)),
    Grant(("dynamodb:Query",), (arn("dynamodb", "table/passwire-${Stage}-registrations"),)),
    Grant(
        ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Scan"),
        (arn("dynamodb", "table/passwire-${Stage}-counts"),),
    ),
    Grant(("events:DescribeEventBus",), (arn("events", "event-bus/passwire-${Stage}"),)),
    Grant(("sqs:GetQueueAttributes",), (QUEUES,)),
    Grant(("sns:ListSubscriptionsByTopic",), (TOPIC,)),
    Grant(("s3:ListBucket",), (TEMPLATES_BUCKET,)),
    Grant(("s3:GetObject",), (f"{TEMPLATES_BUCKET}/*",)),
    Grant(
        ("secretsmanager:GetSecretValue",),
        tuple(
            arn("secretsmanager", f"secret:passwire/${{Stage}}/{kind}")
            for kind in ("authentication-keys-??????", "pass-types/*", "apns-keys/*")
        ),
    ),
    Grant(("apigateway:GET",), (DOMAIN_MAPPINGS,), OF_A_PARAMETER),
    Grant(
        (
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricStatistics",
            "lambda:ListEventSourceMappings",
            "secretsmanager:ListSecrets",
        ),
        ("*",),
        "they list what the account has, or have no resource type",
    ),
)
"""`doctor`. It reads secrets, to use certificates and the APNs key as the functions do, and changes nothing."""


def deployer_grants() -> list[Grant]:
    """Return what `deploy` needs: its own calls, and those of CloudFormation for every type of resource."""
    return merged([*DEPLOY, *FIRST_IN_ACCOUNT, *grants_for(BY_RESOURCE_TYPE)])
