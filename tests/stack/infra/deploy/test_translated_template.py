"""The template after the SAM transform keeps AWS's rules."""

import copy
import json
import re
from typing import Any

import pytest
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # it has no types

from infra.deploy.chalice.data_stack import data_template
from infra.deploy.package import Package, build_package
from infra.deploy.resources import resources
from infra.deploy.template import with_code

Template = dict[str, Any]


class NoManagedPolicies:
    """Roles are written out in the template, so SAM looks up no policy."""

    def load(self) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_package("dev", tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def translated(package: Package) -> Template:
    environment = pytest.MonkeyPatch()
    environment.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    template = with_code(copy.deepcopy(package.template), bucket="bucket", key="key")
    found: Template = transform(template, {}, NoManagedPolicies())
    environment.undo()
    return found


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id."""
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}


def test_api_has_one_stage_with_throttling_and_access_log(translated: Template) -> None:
    """SAM adds a second public stage, named Stage, unless OpenApiVersion is set (SAM issue 191)."""
    ((_, stage),) = of_type(translated, "AWS::ApiGateway::Stage").items()
    assert stage["StageName"] == "api"
    assert stage["AccessLogSetting"]["DestinationArn"]
    assert {"/*"} <= {setting["ResourcePath"] for setting in stage["MethodSettings"]}
    deployments = of_type(translated, "AWS::ApiGateway::Deployment").values()
    assert ["StageName" in deployment for deployment in deployments] == [False], "it would make a stage of that name"


def test_push_worker_allows_recursive_invocation(translated: Template) -> None:
    """Lambda stops a function after about 16 rounds through its own queue (Lambda guide, "invocation-recursion")."""
    functions = of_type(translated, "AWS::Lambda::Function")
    assert {name: f["RecursiveLoop"] for name, f in functions.items() if "RecursiveLoop" in f} == {
        "PushWorker": "Allow"
    }
    dropped = [
        alarm
        for alarm in of_type(translated, "AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "RecursiveInvocationsDropped"
    ]
    assert [alarm["Dimensions"] for alarm in dropped] == [[{"Name": "FunctionName", "Value": {"Ref": "PushWorker"}}]]


def test_stream_batch_is_retried_until_its_maximum_age(translated: Template) -> None:
    """Attempts of a function that fails at once would end long before twelve hours."""
    mapping = of_type(translated, "AWS::Lambda::EventSourceMapping")["PushPushDynamodbEventSource"]
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (-1, 12 * 3600)


def test_message_survives_a_week_of_failed_invocations(translated: Template) -> None:
    """AWS requires a visibility timeout of six times the function's (Lambda guide, "Using Lambda with Amazon SQS").

    A message that always fails comes back at least every `VisibilityTimeout`, and each time counts.
    """
    queue = of_type(translated, "AWS::SQS::Queue")["PushQueue"]
    timeout = of_type(translated, "AWS::Lambda::Function")["PushWorker"]["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * timeout
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] > 7 * 24 * 3600
    assert queue["RedrivePolicy"]["maxReceiveCount"] <= 1000, "SQS takes no more"


def test_defaults_fit_into_a_new_accounts_limits(translated: Template) -> None:
    """Reserved concurrency must leave 100 executions unreserved, and a new account may have only 10."""
    parameters = translated["Parameters"]
    assert {name: parameters[name]["Default"] for name in parameters if name.endswith("ReservedConcurrency")} == {
        "PushReservedConcurrency": 0,
        "PushWorkerReservedConcurrency": 0,
    }
    conditions = translated["Conditions"]
    for role in ("Push", "PushWorker"):
        reserved = of_type(translated, "AWS::Lambda::Function")[role]["ReservedConcurrentExecutions"]
        condition, value, otherwise = reserved["Fn::If"]
        assert conditions[condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": f"{role}ReservedConcurrency"}, "0"]}]}
        assert (value, otherwise) == ({"Ref": f"{role}ReservedConcurrency"}, {"Ref": "AWS::NoValue"})


def test_api_limits_leave_concurrency_for_pushes_in_a_default_account(translated: Template) -> None:
    """A burst at once, then the rate at 100 ms per request."""
    rate, burst = (translated["Parameters"][name]["Default"] for name in ("ThrottleRate", "ThrottleBurst"))
    assert burst + rate * 0.1 <= 1000 - 200


def test_tables_use_the_free_key_unless_a_key_is_set(translated: Template) -> None:
    """`SSEEnabled` alone is the AWS managed key, whose KMS calls are charged."""
    for table in of_type(translated, "AWS::DynamoDB::Table").values():
        condition, given, otherwise = table["SSESpecification"]["Fn::If"]
        assert condition == "HasTablesKey"
        assert given["KMSMasterKeyId"] == {"Ref": "TablesKeyArn"}
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_tracing_is_off_by_default(translated: Template) -> None:
    assert translated["Parameters"]["Tracing"]["Default"] == "off"
    for function in of_type(translated, "AWS::Lambda::Function").values():
        assert function["TracingConfig"] == {"Mode": {"Fn::If": ["IsTraced", "Active", "PassThrough"]}}
    (stage,) = of_type(translated, "AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] == {"Fn::If": ["IsTraced", "true", "false"]}
    for role in of_type(translated, "AWS::IAM::Role").values():
        ((condition, policy, otherwise),) = [policy["Fn::If"] for policy in role["ManagedPolicyArns"]]
        assert condition == "IsTraced"
        assert policy["Fn::Sub"].endswith(":iam::aws:policy/AWSXRayDaemonWriteAccess")
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_rate_limit_per_ip_is_created_when_set(translated: Template) -> None:
    assert translated["Parameters"]["RateLimitPerIp"]["Default"] == 0
    for logical_id in ("WebAcl", "WebAclAssociation"):
        assert translated["Resources"][logical_id]["Condition"] == "HasRateLimitPerIp"
    ((_, association),) = of_type(translated, "AWS::WAFv2::WebACLAssociation").items()
    (stage,) = of_type(translated, "AWS::ApiGateway::Stage")
    assert {"Ref": stage} in association["ResourceArn"]["Fn::Join"][1]


def test_gateway_response_status_codes_are_strings(translated: Template) -> None:
    """The OpenAPI extension's type is a string (AWS, "x-amazon-apigateway-gateway-responses")."""
    (api,) = of_type(translated, "AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]
    assert all(isinstance(answer["statusCode"], str) for answer in answers.values())
    assert "MinimumCompressionSize" not in api, "passes are zips, and SAM makes no deployment for a change of it"


def test_templates_bucket_requires_tls(translated: Template) -> None:
    (policy,) = of_type(translated, "AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_throttled_table_raises_an_alarm(translated: Template) -> None:
    throttles = {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Ref"])
        for alarm in of_type(translated, "AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "AWS/DynamoDB"
    }
    tables = of_type(translated, "AWS::DynamoDB::Table")
    assert throttles == {(f"{kind}ThrottleEvents", table) for kind in ("Read", "Write") for table in tables}


@pytest.mark.parametrize("source", ["one stack", "chalice deploy"])
def test_template_refuses_a_domain_without_certificate(translated: Template, source: str) -> None:
    template = translated if source == "one stack" else data_template([])
    (rule,) = template["Rules"].values()
    assert json.dumps(rule["RuleCondition"]).count("DomainName") == 1
    assert [json.dumps(a["Assert"]).count("CertificateArn") for a in rule["Assertions"]] == [1]


def test_every_referenced_condition_and_parameter_exists(translated: Template) -> None:
    for template in (translated, data_template([resources()["Globals"]])):
        text = json.dumps({part: template[part] for part in ("Resources", "Outputs", "Conditions")})
        named = set(re.findall(r'"Fn::If": \["(\w+)"', text)) | set(re.findall(r'"Condition": "(\w+)"', text))
        assert named <= set(template["Conditions"])
