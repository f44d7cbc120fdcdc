"""The translated template has what the service needs; `test_template_rules.py` has AWS's own rules."""

import json
import re
from typing import Any

from infra.deploy.chalice.data_stack import data_template
from infra.deploy.resources import resources
from tests.support.sam import of_type

Template = dict[str, Any]


def test_api_logs_and_limits_requests(template: Template) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    assert stage["AccessLogSetting"]["DestinationArn"]
    assert {"/*"} <= {setting["ResourcePath"] for setting in stage["MethodSettings"]}


def test_message_survives_a_week_of_failed_invocations(template: Template) -> None:
    """A message that always fails comes back at least every `VisibilityTimeout`, and each time counts."""
    queue = of_type(template, "AWS::SQS::Queue")["PushQueue"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] > 7 * 24 * 3600
    assert queue["RedrivePolicy"]["maxReceiveCount"] <= 1000, "SQS takes no more"


def test_defaults_fit_into_a_new_accounts_limits(template: Template) -> None:
    """Reserved concurrency must leave 100 executions unreserved, and a new account may have only 10."""
    parameters = template["Parameters"]
    assert {name: parameters[name]["Default"] for name in parameters if name.endswith("ReservedConcurrency")} == {
        "PushReservedConcurrency": 0,
        "PushWorkerReservedConcurrency": 0,
    }
    conditions = template["Conditions"]
    for role in ("Push", "PushWorker"):
        reserved = of_type(template, "AWS::Lambda::Function")[role]["ReservedConcurrentExecutions"]
        condition, value, otherwise = reserved["Fn::If"]
        assert conditions[condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": f"{role}ReservedConcurrency"}, "0"]}]}
        assert (value, otherwise) == ({"Ref": f"{role}ReservedConcurrency"}, {"Ref": "AWS::NoValue"})


def test_api_limits_leave_concurrency_for_pushes_in_a_default_account(template: Template) -> None:
    """A burst at once, then the rate at 100 ms per request."""
    rate, burst = (template["Parameters"][name]["Default"] for name in ("ThrottleRate", "ThrottleBurst"))
    assert burst + rate * 0.1 <= 1000 - 200


def test_tables_use_the_free_key_unless_a_key_is_set(template: Template) -> None:
    """`SSEEnabled` alone is the AWS managed key, whose KMS calls are charged."""
    for table in of_type(template, "AWS::DynamoDB::Table").values():
        condition, given, otherwise = table["SSESpecification"]["Fn::If"]
        assert condition == "HasTablesKey"
        assert given["KMSMasterKeyId"] == {"Ref": "TablesKeyArn"}
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_tracing_is_off_by_default(template: Template) -> None:
    assert template["Parameters"]["Tracing"]["Default"] == "off"
    for function in of_type(template, "AWS::Lambda::Function").values():
        assert function["TracingConfig"] == {"Mode": {"Fn::If": ["IsTraced", "Active", "PassThrough"]}}
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] == {"Fn::If": ["IsTraced", "true", "false"]}
    for role in of_type(template, "AWS::IAM::Role").values():
        ((condition, policy, otherwise),) = [policy["Fn::If"] for policy in role["ManagedPolicyArns"]]
        assert condition == "IsTraced"
        assert policy["Fn::Sub"].endswith(":iam::aws:policy/AWSXRayDaemonWriteAccess")
        assert otherwise == {"Ref": "AWS::NoValue"}


def test_rate_limit_per_ip_is_created_when_set(template: Template) -> None:
    assert template["Parameters"]["RateLimitPerIp"]["Default"] == 0
    for logical_id in ("WebAcl", "WebAclAssociation"):
        assert template["Resources"][logical_id]["Condition"] == "HasRateLimitPerIp"
    ((_, association),) = of_type(template, "AWS::WAFv2::WebACLAssociation").items()
    (stage,) = of_type(template, "AWS::ApiGateway::Stage")
    assert {"Ref": stage} in association["ResourceArn"]["Fn::Join"][1]


def test_templates_bucket_requires_tls(template: Template) -> None:
    (policy,) = of_type(template, "AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_throttled_table_raises_an_alarm(template: Template) -> None:
    throttles = {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"]["Ref"])
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if alarm["Namespace"] == "AWS/DynamoDB"
    }
    tables = of_type(template, "AWS::DynamoDB::Table")
    assert throttles == {(f"{kind}ThrottleEvents", table) for kind in ("Read", "Write") for table in tables}


def test_data_stack_of_chalice_refuses_a_domain_without_certificate() -> None:
    (rule,) = data_template([])["Rules"].values()
    assert json.dumps(rule["RuleCondition"]).count("DomainName") == 1
    assert [json.dumps(a["Assert"]).count("CertificateArn") for a in rule["Assertions"]] == [1]


def test_every_referenced_condition_and_parameter_exists(template: Template) -> None:
    for each in (template, data_template([resources()["Globals"]])):
        text = json.dumps({part: each[part] for part in ("Resources", "Outputs", "Conditions")})
        named = set(re.findall(r'"Fn::If": \["(\w+)"', text)) | set(re.findall(r'"Condition": "(\w+)"', text))
        assert named <= set(each["Conditions"])
