"""Tests of the monthly bill: requests multiplied by list prices."""

import re

import pytest

from infra.deploy.cost import prices
from infra.deploy.cost.bill import BillLine, Usage, bill
from infra.local.processes import PROJECT

FIXED = {"CloudWatch, custom metrics", "CloudWatch, alarms", "CloudWatch, dashboards", "Secrets Manager, secrets"}


def dollars(usage: Usage) -> dict[str, float]:
    return {line.what: line.dollars for line in bill(usage)}


def test_line_is_the_product_of_quantity_and_price() -> None:
    assert BillLine("x", 2_000_000, prices.PER_WRITE_UNIT).dollars == pytest.approx(1.25)


def test_no_devices_cost_only_the_fixed_lines() -> None:
    bought = {what for what, amount in dollars(Usage(devices=0, updates_per_day=3)).items() if amount}
    assert bought == {*FIXED, "SQS, polls of an idle queue"}


def test_usage_cost_is_proportional_to_devices() -> None:
    once, twice = (dollars(Usage(devices=devices, updates_per_day=3)) for devices in (1000, 2000))
    for what in once.keys() - FIXED - {"SQS, polls of an idle queue"}:
        assert twice[what] == pytest.approx(2 * once[what]), what


def test_shared_pass_is_cheaper_to_change() -> None:
    own, shared = (
        sum(dollars(Usage(devices=10_000, updates_per_day=1, devices_per_pass=count)).values()) for count in (1, 1000)
    )
    assert shared < own


def test_bill_includes_costs_per_request_and_per_execution_environment() -> None:
    """Access logs, the surcharge of message groups, and the repeated reads of warm execution environments."""
    lines = {
        line.what: line for line in bill(Usage(devices=1_000_000, updates_per_day=1 / 30, devices_per_pass=1_000_000))
    }
    assert lines["CloudWatch, GB of logs"].quantity > lines["API Gateway, requests of phones"].quantity * 330 / 1e9
    assert lines["SQS, requests with a group"].price == pytest.approx(0.5e-6)
    assert lines["S3, reads of templates"].dollars > 0
    assert lines["Secrets Manager, reads"].dollars > 0
    rollout = sum(line.dollars for line in lines.values() if line.what not in FIXED)
    assert rollout > 15, "the phones' own calls are most of what a change of a shared pass costs"


def test_cost_page_shows_the_output_of_the_command() -> None:
    """Within 2 %, so that a new alarm does not require a new table."""
    page = (PROJECT / "docs" / "operations" / "cost.md").read_text()
    (total,) = re.findall(r"^total +([0-9.,]+)$", page, re.MULTILINE)
    assert "--devices 100000 --updates-per-day 3\nper month" in page
    expected = sum(dollars(Usage(devices=100_000, updates_per_day=3)).values())
    assert float(total.replace(",", "")) == pytest.approx(expected, rel=0.02)


def test_transfer_is_the_size_of_all_downloaded_passes() -> None:
    lines = {line.what: line for line in bill(Usage(devices=1000, updates_per_day=1, pass_kilobytes=100))}
    assert lines["Data transfer to phones, GB"].quantity == pytest.approx(3), "30,000 downloads of 0.1 MB"
