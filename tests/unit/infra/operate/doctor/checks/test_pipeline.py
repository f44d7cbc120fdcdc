"""Tests of the doctor's judgments of tables, triggers, queues and functions, with a stage that a test changes."""

import copy
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.deploy.resources import resources
from infra.operate.doctor.checks.pipeline import functions, lag, mappings, tables
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, Severity
from infra.stage.stage import Stage
from tests.support.complete_settings import COMPLETE

FUNCTIONS = ("api", "push", "push_worker", "publish_events", "check_certificates")
QUEUES = ("push", "dead_letter", "stream_failure", "held_removals", "event_failure")
TABLES = ("passes", "versions", "registrations", "devices", "counts")
VARIABLES = resources()["Globals"]["Function"]["Environment"]["Variables"]
EVENTS = {
    "push": ("PushDynamodbEventSource", "passes-stream"),
    "push_worker": ("PushWorkerSqsEventSource", "arn:aws:sqs:::push"),
    "publish_events": ("PublishEventsDynamodbEventSource", "registrations-stream"),
}


class MissingError(Exception):
    """DynamoDB's ResourceNotFoundException."""


class HealthyStage(DoctorContext):
    """A stage without problems, whose parts a test changes."""

    def __init__(self) -> None:
        names = {f"PASSWIRE_{role.upper()}_TABLE": role for role in TABLES}
        variables = {**dict.fromkeys(VARIABLES, ""), **COMPLETE, **names}
        stage = SimpleNamespace(
            name="dev",
            functions={role: role for role in FUNCTIONS},
            queues={role: f"https://sqs/{role}" for role in QUEUES},
            tables={role: role for role in TABLES},
            secrets=None,
        )
        super().__init__(cast("Stage", stage))
        self.depths = dict.fromkeys(QUEUES, 0)
        self.ages: dict[str, float] = {}
        self.recursion = "Allow"
        self.configurations: dict[str, dict[str, Any]] = {
            role: {"State": "Active", "Timeout": 15, "Environment": {"Variables": dict(variables)}}
            for role in FUNCTIONS
        }
        self.described: dict[str, dict[str, Any]] = {
            role: {
                "TableStatus": "ACTIVE",
                "DeletionProtectionEnabled": True,
                "LatestStreamArn": f"{role}-stream",
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            }
            for role in TABLES
        }
        self.backups = "ENABLED"
        self.ttl = {"TimeToLiveStatus": "ENABLED", "AttributeName": "delete_after"}
        self.sources = [(role, event, source) for role, (event, source) in EVENTS.items()] + [
            ("publish_events", "VersionsDynamodbEventSource", "versions-stream")
        ]
        self.found_mappings = {
            source: {
                **copy.deepcopy(self._wanted(role, event)),
                "UUID": source,
                "State": "Enabled",
                "EventSourceArn": source,
                "DestinationConfig": {"OnFailure": {"Destination": "queue"}},
                "FunctionName": role,
            }
            for role, event, source in self.sources
        }

    @staticmethod
    def _wanted(role: str, event: str) -> dict[str, Any]:
        found: dict[str, Any] = resources()["Resources"][role.title().replace("_", "")]["Properties"]["Events"][event]
        return dict(found["Properties"])

    def client(self, service: str) -> Any:  # noqa: ANN401 - as DoctorContext
        assert service in ("dynamodb", "lambda", "sqs")
        return SimpleNamespace(
            exceptions=SimpleNamespace(ResourceNotFoundException=MissingError),
            describe_continuous_backups=lambda **_: {
                "ContinuousBackupsDescription": {
                    "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": self.backups}
                }
            },
            describe_time_to_live=lambda **_: {"TimeToLiveDescription": self.ttl},
            get_function_recursion_config=lambda **_: {"RecursiveLoop": self.recursion},
            list_event_source_mappings=lambda FunctionName: {  # noqa: N803 - boto3's
                "EventSourceMappings": [
                    found for found in self.found_mappings.values() if found["FunctionName"] == FunctionName
                ]
            },
            get_queue_attributes=lambda QueueUrl, AttributeNames: {  # noqa: N803
                "Attributes": {AttributeNames[0]: str(self.depths[QueueUrl.rpartition("/")[2]])}
            },
        )

    def function(self, role: str) -> dict[str, Any]:
        return self.configurations[role]

    def table(self, role: str) -> dict[str, Any]:
        if role not in self.described:
            raise MissingError
        return self.described[role]

    def newest(self, namespace: str, metric: str, **dimensions: str) -> float | None:
        assert namespace.startswith("AWS/")
        assert dimensions
        return self.ages.get(metric)


@pytest.fixture
def doctor() -> HealthyStage:
    return HealthyStage()


def found(check: Callable[[DoctorContext], Iterator[DoctorFinding]], doctor: DoctorContext) -> list[str]:
    return [finding.found for finding in check(doctor)]


@pytest.mark.parametrize("check", [functions, lag, mappings, tables], ids=lambda check: check.__name__)
def test_healthy_stage_has_no_findings(
    doctor: HealthyStage, check: Callable[[DoctorContext], Iterator[DoctorFinding]]
) -> None:
    assert found(check, doctor) == []


@pytest.mark.parametrize(
    ("role", "alarm"),
    [
        ("dead_letter", "DeadLetters"),
        ("stream_failure", "StreamFailures"),
        ("event_failure", "EventFailures"),
        ("held_removals", "RemovalsHeld"),
    ],
)
def test_message_in_a_queue_for_failures_is_a_fault(doctor: HealthyStage, role: str, alarm: str) -> None:
    doctor.depths[role] = 3
    (finding,) = lag(doctor)
    assert (finding.severity, finding.alarm) == (Severity.FAULT, alarm)
    assert ": 3" in finding.found
    assert "passwire" in finding.fix or "infra" in finding.fix


def test_waiting_pushes_are_no_fault_until_they_are_late(doctor: HealthyStage) -> None:
    doctor.depths["push"] = 1000
    doctor.ages = {"IteratorAge": 60_000, "ApproximateAgeOfOldestMessage": 3600}
    assert found(lag, doctor) == []
    doctor.ages = {"IteratorAge": 61_000, "ApproximateAgeOfOldestMessage": 7200}
    assert found(lag, doctor) == [
        "changes wait for 61 s before they are stamped",
        "pushes have waited for 2.0 hours in the push queue",
    ]


def test_missing_and_unprotected_tables_are_found(doctor: HealthyStage) -> None:
    del doctor.described["devices"]
    doctor.described["versions"]["DeletionProtectionEnabled"] = False
    assert found(tables, doctor) == ["table versions: has no deletion protection", "table devices: is missing"]


@pytest.mark.parametrize(
    ("stream", "shown"),
    [
        ({"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}, "KEYS_ONLY"),
        ({"StreamEnabled": False}, "off"),
        ({}, "off"),
    ],
)
def test_stream_of_the_passes_table_needs_both_images(doctor: HealthyStage, stream: dict[str, Any], shown: str) -> None:
    doctor.described["passes"]["StreamSpecification"] = stream
    (problem,) = found(tables, doctor)
    assert f"its stream is {shown}, not NEW_AND_OLD_IMAGES" in problem


def test_missing_backups_and_expiry_are_warnings(doctor: HealthyStage) -> None:
    doctor.backups, doctor.ttl = "DISABLED", {"TimeToLiveStatus": "DISABLED"}
    findings = list(tables(doctor))
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    assert sum("point-in-time recovery" in finding.found for finding in findings) == len(TABLES)


def test_trigger_that_is_missing_off_or_of_an_old_stream_is_found(doctor: HealthyStage) -> None:
    del doctor.found_mappings["arn:aws:sqs:::push"]
    doctor.found_mappings["passes-stream"]["State"] = "Disabled"
    doctor.found_mappings["versions-stream"]["EventSourceArn"] = "replaced-stream"
    assert found(mappings, doctor) == [
        "function push: is not invoked, its event source mapping is Disabled",
        "function push_worker: its event source mapping for :push is missing",
        "function publish_events: reads replaced-stream, which is no longer written to",
    ]


def test_trigger_with_other_settings_is_found(doctor: HealthyStage) -> None:
    doctor.found_mappings["passes-stream"] |= {"ParallelizationFactor": 1, "DestinationConfig": {}}
    doctor.found_mappings["versions-stream"]["LastProcessingResult"] = "PROBLEM: Function call failed"
    problems = found(mappings, doctor)
    assert problems[0].startswith("function push: its event source mapping has ParallelizationFactor 1, not ")
    assert problems[1:] == [
        "function push: has no destination for batches that it gives up",
        "function publish_events: Lambda cannot process its event source: PROBLEM: Function call failed",
    ]


def test_incomplete_environment_is_found(doctor: HealthyStage) -> None:
    del doctor.configurations["api"]["Environment"]["Variables"]["PASSWIRE_PASSES_TABLE"]
    assert found(functions, doctor)[0] == "function api: its environment lacks PASSWIRE_PASSES_TABLE"


def test_function_of_another_stages_table_is_found(doctor: HealthyStage) -> None:
    doctor.configurations["push"]["Environment"]["Variables"]["PASSWIRE_DEVICES_TABLE"] = "other"
    (problem,) = found(functions, doctor)
    assert problem.startswith("function push: uses other as its devices table, not ")


def test_push_function_that_may_run_longer_than_assumed_is_found(doctor: HealthyStage) -> None:
    doctor.configurations["push"]["Timeout"] = 900
    problems = found(functions, doctor)
    assert len(problems) == len(FUNCTIONS)
    assert all("updates can be lost" in problem for problem in problems)


def test_failed_function_and_recursion_detection_are_found(doctor: HealthyStage) -> None:
    doctor.recursion = "Terminate"
    doctor.configurations["api"] |= {"State": "Failed", "StateReason": "no image", "LastUpdateStatus": "Failed"}
    problems = found(functions, doctor)
    assert problems[0] == "function api: does not start: no image"
    assert problems[1].startswith("function api: its last update failed")
    assert problems[2].startswith("function push_worker: Lambda's recursion detection stops it")
