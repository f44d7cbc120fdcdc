"""Faults around a stage: the clock, and the alarms."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from tests.stack.infra.operate.doctor.deployment import Deployment, Fault
from tests.support.second_stage import STAGE


@contextmanager
def wrong_clock(deployment: Deployment) -> Iterator[None]:
    deployment.clock = lambda: time.time() + 90
    yield


@contextmanager
def alarm_on(deployment: Deployment) -> Iterator[None]:
    assert deployment
    cloudwatch = boto3.client("cloudwatch")
    names = [
        alarm["AlarmName"] for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=f"passwire-{STAGE}-")["MetricAlarms"]
    ]
    name = next(name for name in names if "StreamAge" in name)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


@contextmanager
def unsubscribed(deployment: Deployment) -> Iterator[None]:
    sns = boto3.client("sns")
    topic = deployment.stage.outputs["AlarmTopicArn"]
    (subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    yield
    sns.subscribe(TopicArn=topic, Protocol=subscription["Protocol"], Endpoint=subscription["Endpoint"])


FAULTS: dict[str, Fault] = {
    "a wrong clock": ("clock", wrong_clock, "s ahead of AWS's"),
    "an alarm": ("alarms", alarm_on, "alarm StreamAge is on"),
    "no subscription to alarms": ("alarms", unsubscribed, "alarms reach no person"),
}
