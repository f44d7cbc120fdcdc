"""The unit tests mirror the tree: each module has a test file of its own, or a reason and a test elsewhere."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from infra.local.processes import PROJECT

PACKAGES = ("chalicelib", "infra")
STACK = "tests/stack/infra"
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "chalicelib/aws/tables": ("requests to DynamoDB, compared with tables in memory", "tests/schedules/test_memory.py"),
    "chalicelib/flows/fan_out.py": ("its rules are those of updates/fan_outs.py", "tests/unit/flows/test_fan_outs.py"),
    "chalicelib/flows/send_pushes.py": ("its rules are those of removals", "tests/unit/flows/test_removals.py"),
    "chalicelib/http/pages.py": ("answers of the app", "tests/stack/http/test_pages.py"),
    "chalicelib/passes/format/findings.py": ("collects what the check finds", "tests/unit/passes/format/test_check.py"),
    "chalicelib/preview/link_words.py": ("texts of the page", "tests/unit/preview/test_link_pages.py"),
    "chalicelib/roots.py": ("a folder of the zip", "tests/package/test_verify.py"),
    "chalicelib/updates/messages.py": ("values without rules", "tests/unit/http/test_events.py"),
    "infra/commands": ("they parse, call and print; rules for all", f"{STACK}/test_command_line.py"),
    "infra/core/errors.py": ("an exception", "tests/unit/infra/commands/test_remedies.py"),
    "infra/core/phone_retries.py": ("the times of a phone's attempts", "tests/unit/infra/local/test_phones.py"),
    "infra/deploy": ("it deploys", f"{STACK}/deploy/test_deployer.py"),
    "infra/deploy/account.py": ("answers of AWS", "tests/unit/infra/deploy/test_refused_changes.py"),
    "infra/deploy/chalice": ("it reads and changes a stage of Chalice", f"{STACK}/deploy/test_chalice.py"),
    "infra/deploy/change_sets.py": ("answers of AWS", "tests/unit/infra/deploy/test_refused_changes.py"),
    "infra/deploy/cost": ("compared with the requests that the flows make", f"{STACK}/deploy/test_cost.py"),
    "infra/deploy/monitoring.py": ("compared with the deployed functions", f"{STACK}/deploy/test_monitoring.py"),
    "infra/deploy/package.py": ("it runs pip", "tests/package/test_package.py"),
    "infra/deploy/permissions": ("compared with the calls of a deployment", f"{STACK}/deploy/test_permissions.py"),
    "infra/deploy/slim.py": ("a part of packaging", "tests/package/test_package.py"),
    "infra/deploy/verify.py": ("it reads a built zip", "tests/package/test_verify.py"),
    "infra/local": ("the parts of the local run", f"{STACK}/local/test_run.py"),
    "infra/local/apns": ("the stand-in, through its sockets", "tests/unit/infra/local/test_apns.py"),
    "infra/local/strict": ("it patches the embedded AWS", f"{STACK}/local/test_strict_aws.py"),
    "infra/operate/backup": ("it reads and writes a stage", f"{STACK}/operate/test_backup.py"),
    "infra/operate/bulk": ("parts of an import", f"{STACK}/operate/bulk/test_import.py"),
    "infra/operate/bulk/files": ("kinds of files, tested alike", "tests/unit/infra/operate/bulk/files/test_kinds.py"),
    "infra/operate/certificates": ("a stage's secrets", f"{STACK}/operate/certificates/test_import.py"),
    "infra/operate/doctor": ("it looks at a deployed stage", f"{STACK}/operate/doctor/test_doctor.py"),
    "infra/operate/event_failures.py": ("a stage's queue and archive", "tests/stack/flows/test_resent_events.py"),
    "infra/operate/stream_batches.py": ("a stage's streams", "tests/unit/infra/operate/test_pushes.py"),
    "infra/operate/events.py": ("a stage's registrations and counts", "tests/stack/flows/test_publish_events.py"),
    "infra/operate/keys.py": ("a stage's secrets", "tests/stack/test_rotation.py"),
    "infra/operate/pacing.py": ("it reads a stage's timelines", f"{STACK}/operate/test_pushes.py"),
    "infra/operate/passes": ("a stage's passes table and bucket", f"{STACK}/operate/passes/test_commands.py"),
    "infra/operate/passes/table.py": ("a stage's passes table", f"{STACK}/operate/passes/test_table.py"),
    "infra/operate/templates": ("a stage's bucket", f"{STACK}/operate/templates/test_push.py"),
    "infra/simulation": ("parts of one simulation", "tests/unit/infra/simulation/test_rollout.py"),
    "infra/stage/errors.py": ("an exception", "tests/unit/infra/stage/test_stage.py"),
    "infra/stage/secrets.py": ("a stage's secrets", "tests/unit/infra/deploy/test_refused_changes.py"),
}
"""Modules, and folders for all of their modules, without a unit test of their own: the reason, and what tests them."""


def modules() -> list[str]:
    files = [file for package in PACKAGES for file in (PROJECT / package).rglob("*.py")]
    return sorted(str(f.relative_to(PROJECT)) for f in files if f.name not in ("__init__.py", "__main__.py"))


def unit_test_of(module: str) -> Path:
    path = Path(module.removeprefix("chalicelib/"))
    return PROJECT / "tests" / "unit" / path.with_name(f"test_{path.name}")


def exception_for(module: str) -> str | None:
    """The narrowest exception that covers a module."""
    return max((name for name in ELSEWHERE if module == name or module.startswith(f"{name}/")), key=len, default=None)


def test_every_module_has_a_unit_test_or_an_exception() -> None:
    missing = [module for module in modules() if not unit_test_of(module).exists() and exception_for(module) is None]
    assert missing == [], f"write {[str(unit_test_of(module).relative_to(PROJECT)) for module in missing]}"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_exception_is_needed_and_names_a_test(name: str) -> None:
    reason, test = ELSEWHERE[name]
    assert reason
    assert (PROJECT / test).exists()
    used = {exception_for(module) for module in modules() if not unit_test_of(module).exists()}
    assert name in used, "every module has a unit test: remove the exception"
