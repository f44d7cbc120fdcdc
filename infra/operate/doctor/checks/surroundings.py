"""What is around a stage: the clock, and whether anybody hears of its alarms."""

import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding, warning

MAX_CLOCK_SECONDS = 30.0
"""Beyond this, what is signed here looks expired or not yet valid to Apple; AWS refuses requests at five minutes."""


def clock(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """This machine's clock agrees with AWS's."""
    before = doctor.clock()
    headers = doctor.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    here = (before + doctor.clock()) / 2
    off = here - parsedate_to_datetime(headers["date"]).timestamp()
    if abs(off) > MAX_CLOCK_SECONDS:
        yield warning(
            f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} AWS's",
            "set it by NTP: what is signed here is dated by it",
        )


def alarms(doctor: DoctorContext) -> Iterator[DoctorFinding]:
    """No alarm is on, and somebody would hear of one."""
    name = re.compile(rf"passwire-{re.escape(doctor.stage.name)}-([A-Z]\w*)Alarm")
    pages = doctor.client("cloudwatch").get_paginator("describe_alarms")
    for page in pages.paginate(AlarmNamePrefix=f"passwire-{doctor.stage.name}-", StateValue="ALARM"):
        for alarm in page["MetricAlarms"]:
            if ours := name.match(alarm["AlarmName"]):
                remedy = f"docs/operations/runbook.md#{ours[1].lower()}"
                yield warning(f"alarm {ours[1]} is on: {alarm.get('StateReason', '')}", remedy)
    topic = doctor.stage.outputs["AlarmTopicArn"]
    subscriptions = doctor.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    if not any(subscription["SubscriptionArn"].startswith("arn:") for subscription in subscriptions):
        yield warning(
            "nobody hears of alarms: their topic has no confirmed subscription",
            f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOU",
        )
