"""The template, as CloudFormation receives it after SAM's translation, keeps AWS's rules (`aws_rules.py`)."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.sam import Properties, of_type

WORKER, PUSH, API = "PushWorker", "Push", "APIHandler"
MAX_API_SECONDS = 29
"""API Gateway waits no longer for a function (quotas, "Integration timeout")."""


def mapping_of(template: dict[str, Any], function: str) -> Properties:
    """The event source mapping that fires a function."""
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    (found,) = (mapping for mapping in mappings if mapping["FunctionName"] == {"Ref": function})
    return found


def alarmed_metrics(template: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Namespace and name of each metric that an alarm watches, inside of expressions too."""
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
        for metric in metrics or [alarm]:
            yield metric["Namespace"], metric["MetricName"]


def test_only_the_push_worker_allows_recursive_invocation(template: dict[str, Any]) -> None:
    """A1: Lambda stops a function after about 16 passes through its own queue unless RecursiveLoop is Allow."""
    functions = of_type(template, "AWS::Lambda::Function")
    may = {name for name, function in functions.items() if function.get("RecursiveLoop") == "Allow"}
    assert may == {WORKER}


def test_alarm_watches_dropped_recursive_invocations(template: dict[str, Any]) -> None:
    """A1: only this metric reports what Lambda drops as a loop."""
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    dropped = [alarm for alarm in alarms if alarm.get("MetricName") == "RecursiveInvocationsDropped"]
    assert [alarm["Dimensions"] for alarm in dropped] == [[{"Name": "FunctionName", "Value": {"Ref": WORKER}}]]


def test_api_has_one_stage(template: dict[str, Any]) -> None:
    """A4: SAM's deployment makes a second one named `Stage` unless Globals.Api.OpenApiVersion is set."""
    stages = [stage["StageName"] for stage in of_type(template, "AWS::ApiGateway::Stage").values()]
    deployed = [made.get("StageName") for made in of_type(template, "AWS::ApiGateway::Deployment").values()]
    assert [name for name in stages + deployed if name] == ["api"]


def test_stream_batch_is_retried_until_its_maximum_age(template: dict[str, Any]) -> None:
    """A6: attempts and age both end the retries, and Lambda guarantees no pause between attempts."""
    mapping = mapping_of(template, PUSH)
    assert mapping["MaximumRetryAttempts"] == -1
    assert mapping["MaximumRecordAgeInSeconds"] >= 12 * 3600


def test_visibility_timeout_is_six_times_the_function_timeout(template: dict[str, Any]) -> None:
    """A7: AWS requires it, since a throttled batch is delivered again within that time."""
    queues = of_type(template, "AWS::SQS::Queue")
    functions = of_type(template, "AWS::Lambda::Function")
    for mapping in of_type(template, "AWS::Lambda::EventSourceMapping").values():
        source, _ = mapping["EventSourceArn"]["Fn::GetAtt"]
        if source in queues:
            timeout = functions[mapping["FunctionName"]["Ref"]]["Timeout"]
            assert queues[source]["VisibilityTimeout"] >= 6 * timeout, source


def test_message_is_redelivered_for_at_least_a_day(template: dict[str, Any]) -> None:
    """A7: throttled deliveries and killed invocations also count as receives, without any delay between them."""
    queue = of_type(template, "AWS::SQS::Queue")["PushQueue"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] >= 24 * 3600
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_api_requests_leave_concurrency_for_pushes(template: dict[str, Any]) -> None:
    """A8: an account has one pool of concurrency; either pushes reserve a part of it or the API has a limit."""
    functions = of_type(template, "AWS::Lambda::Function")
    reserved = {name for name, function in functions.items() if "ReservedConcurrentExecutions" in function}
    assert reserved >= {PUSH, WORKER} or API in reserved
    for name in reserved:
        assert "Fn::If" in str(functions[name]["ReservedConcurrentExecutions"]) or "Ref" in str(
            functions[name]["ReservedConcurrentExecutions"]
        ), f"{name}: a new account has 10 in all, so it must be a parameter"


def test_alarm_for_deferred_pushes_includes_retried_messages(
    template: dict[str, Any],
) -> None:
    """A10: ApproximateAgeOfOldestMessage ignores messages that were received three times or more."""
    push_queue = [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["PushQueue", "QueueName"]}}]
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    of_queue = {alarm["MetricName"] for alarm in alarms if alarm.get("Dimensions") == push_queue}
    of_its_own = {name for namespace, name in alarmed_metrics(template) if namespace == "Passwire" and "Age" in name}
    assert of_queue - {"ApproximateAgeOfOldestMessage"} or of_its_own


def test_alarms_watch_dynamodb_throttling(template: dict[str, Any]) -> None:
    """A9."""
    watched = {name for namespace, name in alarmed_metrics(template) if namespace == "AWS/DynamoDB"}
    assert watched & {
        "ThrottledRequests",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
        "ReadKeyRangeThroughputThrottleEvents",
    }


def test_tables_are_encrypted_with_the_free_key_by_default(template: dict[str, Any]) -> None:
    """A14: SSEEnabled without a key is the AWS managed key of KMS, which is charged; another key is a parameter."""
    for name, table in of_type(template, "AWS::DynamoDB::Table").items():
        encryption = json.dumps(table.get("SSESpecification"))
        assert "SSESpecification" not in table or "KMSMasterKeyId" in encryption, name


def test_device_log_has_its_own_rate_limit(template: dict[str, Any]) -> None:
    """A19: it needs no token, and each request costs log storage."""
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    (setting,) = (setting for setting in stage["MethodSettings"] if setting["ResourcePath"].endswith("v1~1log"))
    (every,) = (setting for setting in stage["MethodSettings"] if setting["ResourcePath"] == "/*")
    assert setting["HttpMethod"] == "POST"
    assert setting["ThrottlingRateLimit"] != every["ThrottlingRateLimit"]


def test_web_acl_is_optional(template: dict[str, Any]) -> None:
    """A20: without it, one client can use up the rate limit of the stage."""
    associations = [r for r in template["Resources"].values() if r["Type"] == "AWS::WAFv2::WebACLAssociation"]
    assert associations
    assert all("Condition" in association for association in associations)


def test_gateway_response_status_codes_are_strings(template: dict[str, Any]) -> None:
    (api,) = of_type(template, "AWS::ApiGateway::RestApi").values()
    responses = api["Body"]["x-amazon-apigateway-gateway-responses"].values()
    assert responses
    assert [type(response["statusCode"]) for response in responses] == [str] * len(responses)


def test_api_does_not_compress_responses(template: dict[str, Any]) -> None:
    (api,) = of_type(template, "AWS::ApiGateway::RestApi").values()
    assert "MinimumCompressionSize" not in api


def test_template_refuses_a_domain_without_certificate(template: dict[str, Any]) -> None:
    (rule,) = template["Rules"].values()
    assert json.dumps(rule["RuleCondition"]).count("DomainName") == 1
    assert [json.dumps(a["Assert"]).count("CertificateArn") for a in rule["Assertions"]] == [1]


def test_functions_time_out_before_their_callers(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Lambda::Function")
    assert functions[API]["Timeout"] <= MAX_API_SECONDS
    setting = functions[PUSH]["Environment"]["Variables"]["PASSWIRE_PUSH_TIMEOUT_SECONDS"]
    assert int(setting) == functions[PUSH]["Timeout"], "the update protocol's window rests on it"


def test_event_sources_accept_partial_batch_responses(template: dict[str, Any]) -> None:
    for function in (PUSH, WORKER):
        assert mapping_of(template, function)["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
