"""Checks of a stage's surroundings: this machine's clock, and the stage's alarms."""

import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, alarm_cause, warning

MAX_CLOCK_SECONDS = 30.0
"""With a greater difference, signatures made here look expired or not yet valid; AWS refuses requests at 5 minutes."""


def clock(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that this machine's clock agrees with AWS's."""
    before = doctor.clock()
    headers = doctor.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    here = (before + doctor.clock()) / 2
    difference = here - parsedate_to_datetime(headers["date"]).timestamp()
    if abs(difference) > MAX_CLOCK_SECONDS:
        yield warning(
            f"this machine's clock is {abs(difference):.0f} s {'ahead of' if difference > 0 else 'behind'} AWS's",
            "synchronize it by NTP: signatures made here contain its time",
        )


def alarms(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """Check that no alarm is on, and that the alarm topic has a confirmed subscription."""
    name = re.compile(rf"passwire-{re.escape(doctor.stage.name)}-([A-Z]\w*)Alarm")
    pages = doctor.client("cloudwatch").get_paginator("describe_alarms")
    for page in pages.paginate(AlarmNamePrefix=f"passwire-{doctor.stage.name}-", StateValue="ALARM"):
        for alarm in page["MetricAlarms"]:
            if match := name.match(alarm["AlarmName"]):
                yield warning(
                    f"alarm {match[1]} is on: {alarm.get('StateReason', '')}",
                    f"read docs/operations/runbook.md#{match[1].lower()}",
                    cause=alarm_cause(match[1]),
                )
    topic = doctor.stage.outputs["AlarmTopicArn"]
    subscriptions = doctor.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    if not any(subscription["SubscriptionArn"].startswith("arn:") for subscription in subscriptions):
        yield warning(
            "alarms reach no person: their topic has no confirmed subscription",
            f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOU",
        )
