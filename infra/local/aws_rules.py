"""AWS's rules that the embedded AWS does not have by itself, and where this project enforces each of them.

`python -m infra.local.aws_rules` prints the table. There are three places: the rig that simulates Lambda and SQS
(`tests/faults/rig.py`), the layer inside the embedded AWS (`strict/`, in the local run too), and checks on the
translated template (`tests/package/test_template_rules.py`). A test checks that every named test exists.
"""

from dataclasses import dataclass

from infra.core.terminal import write_text

RIG = "tests/faults/test_faults.py::test_no_push_is_lost_through"
STRICT = "tests/stack/infra/local/test_strict_aws.py::"
DYNAMODB = "tests/stack/infra/local/test_strict_dynamodb.py::"
GATEWAY = "tests/stack/infra/local/test_strict_gateway.py::"
CONCURRENCY = "tests/stack/infra/local/test_strict_concurrency.py::"
PERMISSIONS = "tests/stack/infra/deploy/test_permissions.py::"
OPERATIONS = "tests/stack/infra/local/test_strict_operations.py::"
COST = "tests/stack/infra/deploy/test_cost.py::"
DEPLOYER = "tests/stack/infra/deploy/test_deployer.py::"
SCRIPT = "tests/unit/infra/deploy/test_write_package.py::"
TEMPLATE = "tests/package/test_template_rules.py::"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of AWS.

    Args:
        name: A1 to A20 for rules that have broken something; a word for smaller ones.
        rule: what AWS does.
        source: the page of AWS or of its users.
        enforced_by: ids of the tests that fail if the rule is violated.
        left_out: the part of it that the suite does not check; may be empty.
    """

    name: str
    rule: str
    source: str
    enforced_by: tuple[str, ...]
    left_out: str = ""


RULES = (
    Rule(
        "A1",
        "Lambda stops a function that its own queue invokes after about 16 passes, unless RecursiveLoop is Allow.",
        "Lambda guide, invocation-recursion; boto3 #3899",
        (
            RIG,
            TEMPLATE + "test_only_the_push_worker_allows_recursive_invocation",
            TEMPLATE + "test_alarm_watches_dropped_recursive_invocations",
        ),
        "The embedded AWS itself counts no passes; the rig does. The stopped message is lost at once in the rig, where "
        "AWS delivers it until it is a dead letter.",
    ),
    Rule(
        "A2",
        "An event source mapping is Creating or Updating for tens of seconds and refuses changes then "
        "(ResourceInUseException).",
        "botocore's model of Lambda",
        (
            STRICT + "test_event_source_mapping_refuses_changes_until_it_has_settled",
            OPERATIONS + "test_trigger_is_set_while_it_is_still_being_made",
        ),
        "A mapping polls while it is Creating. Mappings that a stack makes are settled when the stack is, as on AWS.",
    ),
    Rule(
        "A3",
        "A change set that would create a name that exists is refused, unless ImportExistingResources takes it over.",
        "CloudFormation, early validation (November 2025); DescribeEvents in botocore's model",
        (
            STRICT + "test_change_set_that_would_create_an_existing_name_is_refused",
            OPERATIONS + "test_changes_are_shown_for_a_stage_whose_tables_are_left_from_an_earlier_one",
        ),
        "Checked for types that the embedded AWS can import, and for queues.",
    ),
    Rule(
        "A4",
        "SAM's deployment makes a second public stage named `Stage` unless Globals.Api.OpenApiVersion is set.",
        "SAM #191, #2077; chalice #1655",
        (TEMPLATE + "test_api_has_one_stage",),
    ),
    Rule(
        "A5",
        "A single-item write that meets a transaction on the same item is refused (TransactionConflictException); "
        "botocore does not retry it.",
        "DynamoDB guide, Transaction conflict handling",
        (
            DYNAMODB + "test_single_item_write_is_refused_while_a_transaction_holds_the_item",
            DYNAMODB + "test_phone_that_removes_several_passes_at_once_is_never_refused",
            DYNAMODB + "test_store_retries_a_single_item_write_that_met_a_transaction",
            OPERATIONS + "test_pass_is_changed_and_deleted_while_a_transaction_holds_it",
        ),
        "BatchWriteItem is not refused: AWS names no conflict for it with TransactWriteItems.",
    ),
    Rule(
        "A6",
        "A batch of a stream is given up at its age or its attempts, whichever comes first.",
        "Lambda guide, services-dynamodb-errors",
        (RIG, TEMPLATE + "test_stream_batch_is_retried_until_its_maximum_age"),
        "The rig bisects no batch.",
    ),
    Rule(
        "A7",
        "An unsettled message returns after the visibility timeout, which should be 6 times the function's timeout; "
        "throttled deliveries count as receives.",
        "Lambda guide, services-sqs-configure; re:Post, valid SQS messages",
        (
            RIG,
            TEMPLATE + "test_visibility_timeout_is_six_times_the_function_timeout",
            TEMPLATE + "test_message_is_redelivered_for_at_least_a_day",
        ),
        "The rig does not wait; it adds up what AWS would wait.",
    ),
    Rule(
        "A8",
        "All functions of an account share one pool of concurrency: 1,000, or 10 in a new account. Reserved "
        "concurrency is a function's own, and its limit; a throttled function behind a REST API answers 500.",
        "Lambda quotas; Lambda guide, configuration-concurrency",
        (
            CONCURRENCY + "test_burst_of_api_requests_leaves_pushes_their_reserved_concurrency",
            CONCURRENCY + "test_without_reserved_concurrency_a_burst_of_api_requests_throttles_pushes",
            CONCURRENCY + "test_fan_out_takes_no_more_than_its_reserved_concurrency",
            CONCURRENCY + "test_account_limited_to_ten_executions_gets_a_stage_without_reserved_concurrency",
            TEMPLATE + "test_api_requests_leave_concurrency_for_pushes",
        ),
        "The rate at which a function's concurrency may grow (1,000 per 10 s), and the 100 that must stay unreserved.",
    ),
    Rule(
        "A9",
        "A partition, and so one item, takes 3,000 read units and 1,000 write units per second.",
        "DynamoDB guide, bp-partition-key-design",
        (
            DYNAMODB + "test_one_partition_key_takes_so_many_units_per_second",
            DYNAMODB + "test_store_answers_transient_error_when_a_partition_is_throttled",
            DYNAMODB + "test_each_call_takes_the_units_that_it_must_of_the_rows_that_many_phones_share",
            TEMPLATE + "test_alarms_watch_dynamodb_throttling",
        ),
        "Burst capacity and the splitting of busy partitions, which give more; Scan; a Query counts by its answer.",
    ),
    Rule(
        "A10",
        "ApproximateAgeOfOldestMessage passes over messages that were received three times or more.",
        "SQS guide, available CloudWatch metrics",
        (TEMPLATE + "test_alarm_for_deferred_pushes_includes_retried_messages",),
        "The metric itself: the embedded AWS has none.",
    ),
    Rule(
        "A11",
        "FilterLogEvents is answered 5 times per second and account.",
        "re:Post, cloudwatch-logs-throttling",
        (STRICT + "test_logs_are_read_so_many_times_per_second",),
    ),
    Rule(
        "A12",
        "The name of a deleted queue is free after 60 s, that of a secret deleted by force after a while.",
        "SQS API, DeleteQueue; Secrets Manager API, DeleteSecret",
        (
            STRICT + "test_name_of_a_deleted_queue_is_not_free_at_once",
            STRICT + "test_name_of_a_deleted_secret_is_not_free_at_once",
            OPERATIONS + "test_stage_is_deployed_again_right_after_it_was_destroyed",
            OPERATIONS + "test_name_conflict_is_named_and_the_same_deployment_continues_once_the_name_is_free",
            OPERATIONS + "test_authentication_keys_are_made_again_right_after_they_were_deleted",
        ),
        "Seconds instead of a minute.",
    ),
    Rule(
        "A13",
        "An invocation takes 6 MB; the range of a failed stream batch holds the records of its neighbours too.",
        "Lambda quotas; Lambda guide, services-dynamodb-errors",
        (
            STRICT + "test_invocation_of_more_than_six_megabytes_is_refused",
            OPERATIONS + "test_stream_batch_that_is_larger_than_an_invocation_is_redriven",
        ),
        "The rig and the in-process service refuse larger events too; and answers of more than 6 MB.",
    ),
    Rule(
        "A14",
        "SSEEnabled without a key means the AWS managed key of KMS, whose calls are charged.",
        "DynamoDB API, SSESpecification",
        (TEMPLATE + "test_tables_are_encrypted_with_the_free_key_by_default",),
    ),
    Rule(
        "A15",
        "TransactGetItems costs twice the units of the same GetItems.",
        "DynamoDB guide, read and write units",
        (
            DYNAMODB + "test_each_call_takes_the_units_that_it_must_of_the_rows_that_many_phones_share",
            DYNAMODB + "test_token_of_the_item_costs_one_unit_more_and_tells_nothing_of_the_item",
            "tests/schedules/test_schedules.py::test_broken_guard_loses_an_update",
        ),
    ),
    Rule(
        "A16",
        "Message groups of standard queues, access logs and polling are charged.",
        "price pages of SQS, CloudWatch, S3, Secrets Manager",
        (
            COST + "test_change_makes_the_requests_of_the_model",
            COST + "test_requests_log_no_more_than_the_model_assumes",
            "tests/unit/infra/deploy/cost/test_bill.py::test_bill_includes_costs_per_request_and_per_execution_environment",
        ),
        "Prices: no run shows them.",
    ),
    Rule(
        "A17",
        "A new RestApi has a new address, and phones keep the address of their passes permanently.",
        "API Gateway guide; Apple, webServiceURL",
        (
            "tests/unit/infra/deploy/test_changes.py::test_deleting_or_replacing_the_api_is_refused_like_a_table",
            "tests/unit/infra/deploy/test_deployer.py::test_changed_url_needs_confirmation_if_devices_are_registered",
            SCRIPT + "test_script_refuses_the_changes_that_deploy_refuses_or_asks_about",
            DEPLOYER + "test_tables_and_templates_are_kept_by_destroy_and_taken_over_by_deploy",
        ),
        "The address itself: the embedded AWS serves every API at one host.",
    ),
    Rule(
        "A18",
        "Deleting a table with point-in-time recovery leaves a system backup for 35 days.",
        "DynamoDB guide, PointInTimeRecovery",
        (DEPLOYER + "test_tables_and_templates_are_kept_by_destroy_and_taken_over_by_deploy",),
        "The backup itself: the embedded AWS makes none. The test checks the sentence that `destroy` prints.",
    ),
    Rule(
        "A19",
        "A call without a token is paid as logs.",
        "Apple, Log a Message; CloudWatch Logs prices",
        (TEMPLATE + "test_device_log_has_its_own_rate_limit",),
    ),
    Rule(
        "A20",
        "API Gateway has no limit per client; WAF has.",
        "WAF guide, rate-based rules",
        (TEMPLATE + "test_web_acl_is_optional",),
        "The embedded AWS does not run web ACLs.",
    ),
    Rule(
        "stage rate",
        "The gateway answers 429 above a rate and a burst: those of a method, of its stage, and of the account (10,000 "
        "requests per second, 5,000 at once).",
        "API Gateway guide, api-gateway-request-throttling",
        (
            GATEWAY + "test_api_answers_429_above_the_rate_of_its_stage",
            GATEWAY + "test_method_with_a_rate_of_its_own_does_not_use_that_of_the_stage",
            GATEWAY + "test_api_answers_429_above_the_rate_of_the_account",
        ),
        "AWS limits as a target, not as a guarantee. Methods without a limit of their own share that of the stage; AWS "
        "may give it to each of them.",
    ),
    Rule(
        "gateway responses",
        "Status codes of gateway responses are strings.",
        "CloudFormation, AWS::ApiGateway::GatewayResponse",
        (TEMPLATE + "test_gateway_response_status_codes_are_strings",),
    ),
    Rule(
        "compression",
        "API Gateway compresses zips without any gain, and SAM does not deploy the API again for the setting.",
        "API Gateway guide, gzip compression",
        (TEMPLATE + "test_api_does_not_compress_responses",),
    ),
    Rule(
        "template rules",
        "A domain needs a certificate; Rules refuse the parameters before anything is made.",
        "CloudFormation guide, rules section",
        (TEMPLATE + "test_template_refuses_a_domain_without_certificate",),
    ),
    Rule(
        "frozen environments",
        "Lambda freezes an execution environment between invocations; its monotonic clock may stop.",
        "Lambda guide, lambda-runtime-environment",
        (
            "tests/stack/test_credentials.py::test_rotated_secret_is_read_by_whichever_clock_has_moved",
            "tests/stack/aws/test_templates.py::test_new_revision_is_used_after_either_clock_has_moved",
        ),
    ),
    Rule(
        "timeouts",
        "The API function ends after 10 s, so one request that is never answered must fail before that.",
        "Lambda guide, configuration-timeout; API Gateway quotas (29 s)",
        (
            "tests/unit/aws/test_session.py::test_attempts_without_response_end_within_the_api_functions_timeout",
            TEMPLATE + "test_functions_time_out_before_their_callers",
        ),
    ),
    Rule(
        "deploy bucket",
        "A bucket accepts requests without TLS and keeps every object, unless a policy and a lifecycle say otherwise.",
        "S3 guide, security best practices",
        (DEPLOYER + "test_deploy_bucket_requires_tls_and_keeps_the_newest_code",),
    ),
    Rule(
        "refused items",
        "A batch of a stream is delivered again as a whole, with the records that were refused already.",
        "Lambda guide, services-dynamodb-errors",
        ("tests/unit/flows/test_change_refusals.py::test_retried_batch_sends_each_refusal_once",),
    ),
    Rule(
        "permissions",
        "Credentials need an IAM action for each call, and for each call of CloudFormation on their behalf.",
        "Service Authorization Reference; CloudFormation resource schemas, handlers",
        (
            "tests/stack/infra/test_policies.py::test_policies_grant_exactly_what_is_used",
            PERMISSIONS + "test_diff_and_deploy_are_granted_exactly_their_calls",
            PERMISSIONS + "test_doctor_is_granted_exactly_its_calls",
            PERMISSIONS + "test_cloudformation_is_granted_what_the_schema_of_the_resource_type_requires",
        ),
        "The embedded AWS checks no permissions; calls are recorded and compared.",
    ),
    Rule(
        "partial batches",
        "Only what a function names as failed is delivered again, where the mapping says so.",
        "Lambda guide, ReportBatchItemFailures",
        (
            TEMPLATE + "test_event_sources_accept_partial_batch_responses",
            "tests/stack/infra/local/test_aws_faults.py::test_stream_batch_continues_at_the_record_that_failed",
        ),
    ),
)


def table() -> str:
    """Return the rules as a Markdown table."""
    lines = ["| rule | what AWS does | source | enforced by | left out |", "| --- | --- | --- | --- | --- |"]
    for rule in RULES:
        tests = ", ".join(f"`{test.partition('::')[2]}`" for test in rule.enforced_by)
        lines.append(f"| {rule.name} | {rule.rule} | {rule.source} | {tests} | {rule.left_out} |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_text(table())
