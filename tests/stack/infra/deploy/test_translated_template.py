"""The template as CloudFormation reads it, after the SAM transform: what AWS's own rules ask of it."""

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


def test_the_api_has_one_stage_which_is_throttled_and_logged(translated: Template) -> None:
    """SAM adds a second public stage, named Stage, unless OpenApiVersion is set (SAM issue 191)."""
    ((_, stage),) = of_type(translated, "AWS::ApiGateway::Stage").items()
    assert stage["StageName"] == "api"
    assert stage["AccessLogSetting"]["DestinationArn"]
    assert {"/*"} <= {setting["ResourcePath"] for setting in stage["MethodSettings"]}
    deployments = of_type(translated, "AWS::ApiGateway::Deployment").values()
    assert ["StageName" in deployment for deployment in deployments] == [False], "it would make a stage of that name"


def test_the_function_that_sends_into_its_own_queue_may_recurse(translated: Template) -> None:
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


def test_a_batch_of_the_stream_is_given_up_by_its_age_alone(translated: Template) -> None:
    """Attempts of a function that fails at once would end long before twelve hours."""
    mapping = of_type(translated, "AWS::Lambda::EventSourceMapping")["PushPushDynamodbEventSource"]
    assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (-1, 12 * 3600)


def test_a_message_outlives_an_invocation_of_its_function_and_a_week_of_failures(translated: Template) -> None:
    """AWS asks for a visibility timeout of six times the function's (Lambda guide, "Using Lambda with Amazon SQS").

    A message that always fails comes back at least every `VisibilityTimeout`, and each time counts.
    """
    queue = of_type(translated, "AWS::SQS::Queue")["PushQueue"]
    timeout = of_type(translated, "AWS::Lambda::Function")["PushWorker"]["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * timeout
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] > 7 * 24 * 3600
    assert queue["RedrivePolicy"]["maxReceiveCount"] <= 1000, "SQS takes no more"


def test_a_new_account_can_take_every_default(translated: Template) -> None:
    """Reserved concurrency leaves an account's last 100 executions unreserved, of which a new account may have 10."""
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


def test_the_api_leaves_the_push_functions_room_in_an_account_of_a_thousand_executions(translated: Template) -> None:
    """A burst at once, and then the rate at 100 ms per call."""
    rate, burst = (translated["Parameters"][name]["Default"] for name in ("ThrottleRate", "ThrottleBurst"))
    assert burst + rate * 0.1 < 1000 - 200


def test_tables_are_encrypted_with_a_key_that_costs_nothing_unless_one_is_given(translated: Template) -> None:
    """`SSEEnabled` alone is the AWS managed key, whose KMS calls are charged."""
    for table in of_type(translated, "AWS::DynamoDB::Table").values():
        condition, given, otherwise = table["SSESpecification"]["Fn::If"]
        assert condition == "HasTablesKey"
        assert given["KMSMasterKeyId"] == {"Ref": "TablesKeyArn"}
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_tracing_is_off_unless_it_is_asked_for(translated: Template) -> None:
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


def test_a_limit_per_address_is_there_when_it_is_asked_for(translated: Template) -> None:
    assert translated["Parameters"]["RateLimitPerIp"]["Default"] == 0
    for logical_id in ("WebAcl", "WebAclAssociation"):
        assert translated["Resources"][logical_id]["Condition"] == "HasRateLimitPerIp"
    ((_, association),) = of_type(translated, "AWS::WAFv2::WebACLAssociation").items()
    (stage,) = of_type(translated, "AWS::ApiGateway::Stage")
    assert {"Ref": stage} in association["ResourceArn"]["Fn::Join"][1]


def test_gateway_responses_have_their_status_as_text(translated: Template) -> None:
    """The OpenAPI extension's type is a string (AWS, "x-amazon-apigateway-gateway-responses")."""
    (api,) = of_type(translated, "AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]
    assert all(isinstance(answer["statusCode"], str) for answer in answers.values())
    assert "MinimumCompressionSize" not in api, "passes are zips, and SAM makes no deployment for a change of it"


def test_nothing_in_the_templates_bucket_is_reached_without_tls(translated: Template) -> None:
    (policy,) = of_type(translated, "AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_throttled_table_raises_an_alarm(translated: Template) -> None:
    throttles = {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Ref"])
        for alarm in of_type(translated, "AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "AWS/DynamoDB"
    }
    tables = of_type(translated, "AWS::DynamoDB::Table")
    assert throttles == {(f"{kind}ThrottleEvents", table) for kind in ("Read", "Write") for table in tables}


@pytest.mark.parametrize("source", ["one stack", "chalice deploy"])
def test_a_domain_without_a_certificate_is_refused_before_anything_is_made(translated: Template, source: str) -> None:
    template = translated if source == "one stack" else data_template([])
    (rule,) = template["Rules"].values()
    assert json.dumps(rule["RuleCondition"]).count("DomainName") == 1
    assert [json.dumps(a["Assert"]).count("CertificateArn") for a in rule["Assertions"]] == [1]


def test_every_condition_and_parameter_that_is_named_is_there(translated: Template) -> None:
    for template in (translated, data_template([resources()["Globals"]])):
        text = json.dumps({part: template[part] for part in ("Resources", "Outputs", "Conditions")})
        named = set(re.findall(r'"Fn::If": \["(\w+)"', text)) | set(re.findall(r'"Condition": "(\w+)"', text))
        assert named <= set(template["Conditions"])
