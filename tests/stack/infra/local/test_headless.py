"""Headless phones of `passwire phones` see a change, through the deployed local run."""

import boto3

from infra.local.headless import measure
from infra.local.run import LocalRun


def test_all_phones_show_the_change_and_the_pass_is_deleted(stack: LocalRun) -> None:
    lines: list[str] = []
    report = measure(stack, 20, on_progress=lines.append)
    assert (report.phones, report.shown, report.lost) == (20, 20, 0)
    assert report.counts.pushes == 20
    slowest = report.latency(1)
    assert slowest is not None
    assert 0 < slowest < 60
    assert "registered 20 of 20 phones" in lines
    items = boto3.resource("dynamodb").Table(stack.tables["passes"]).scan()["Items"]
    assert not [item for item in items if "/PHONES-" in str(item["pass_id"])]
