"""Tests of the tree: each module has a unit test of its own or a reason and a test elsewhere, and a class name means
one thing.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from infra.local.processes import PROJECT

PACKAGES = ("chalicelib", "infra")
STACK = "tests/stack/infra"
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "chalicelib/aws/tables": ("requests to DynamoDB, compared with tables in memory", "tests/schedules/test_memory.py"),
    "chalicelib/roots.py": ("a folder of the zip", "tests/package/test_verify.py"),
    "chalicelib/passes/item_errors.py": ("an exception", "tests/unit/passes/test_item.py"),
    "chalicelib/updates/messages.py": ("values without rules", "tests/unit/http/test_events.py"),
    "chalicelib/updates/removal_notes.py": ("values without rules", "tests/unit/updates/test_holders.py"),
    "infra/commands": ("they parse, call and print; rules for all", f"{STACK}/test_command_line.py"),
    "infra/core/errors.py": ("an exception", "tests/unit/infra/commands/test_remedies.py"),
    "infra/deploy/bucket.py": ("requests to S3", f"{STACK}/deploy/test_deployer.py"),
    "infra/deploy/chalice/gateway.py": ("requests to API Gateway", f"{STACK}/deploy/test_chalice.py"),
    "infra/deploy/chalice/stage.py": ("it reads and changes a stage of Chalice", f"{STACK}/deploy/test_chalice.py"),
    "infra/deploy/cost/prices.py": ("numbers", "tests/unit/infra/deploy/cost/test_bill.py"),
    "infra/deploy/descriptions.py": ("texts, one for each parameter", "tests/unit/infra/deploy/test_resources.py"),
    "infra/deploy/errors.py": ("an exception", "tests/unit/infra/deploy/test_deployer.py"),
    "infra/deploy/functions.py": ("requests to Lambda", f"{STACK}/deploy/test_chalice.py"),
    "infra/deploy/gateway_logs.py": ("requests to API Gateway and IAM", f"{STACK}/deploy/test_permissions.py"),
    "infra/deploy/package.py": ("it runs pip", "tests/package/test_package.py"),
    "infra/deploy/permissions/resources.py": ("compared with AWS's schemas", f"{STACK}/deploy/test_permissions.py"),
    "infra/deploy/retained.py": ("it deletes tables and buckets", f"{STACK}/deploy/test_deployer.py"),
    "infra/deploy/slim.py": ("a part of packaging", "tests/package/test_package.py"),
    "infra/deploy/verify.py": ("it reads a built zip", "tests/package/test_verify.py"),
    "infra/local/apns": ("the stand-in, through its sockets", "tests/unit/infra/local/test_apns.py"),
    "infra/local/aws_faults.py": ("it patches the embedded AWS", f"{STACK}/local/test_aws_faults.py"),
    "infra/local/demo.py": ("the whole loop", f"{STACK}/local/test_run.py"),
    "infra/local/embedded_aws.py": ("it patches the embedded AWS", f"{STACK}/local/test_run.py"),
    "infra/local/issuing_aws.py": ("it patches the embedded AWS", f"{STACK}/local/test_run.py"),
    "infra/local/ministack.py": ("it starts the embedded AWS", f"{STACK}/local/test_run.py"),
    "infra/local/page": ("threads, HTML and HTTP, in a browser", "tests/end_to_end/test_page.py"),
    "infra/local/run.py": ("it starts everything", f"{STACK}/local/test_run.py"),
    "infra/local/strict": ("it patches the embedded AWS", f"{STACK}/local/test_strict_aws.py"),
    "infra/operate/backup/errors.py": ("an exception", "tests/unit/infra/operate/backup/test_file.py"),
    "infra/operate/bulk/files/parquet.py": ("reads with pyarrow", "tests/unit/infra/operate/bulk/files/test_kinds.py"),
    "infra/operate/doctor": ("it looks at a deployed stage", f"{STACK}/operate/doctor/test_doctor.py"),
    "infra/operate/event_failures.py": ("a stage's queue and archive", "tests/stack/flows/test_resent_events.py"),
    "infra/operate/events.py": ("a stage's registrations and counts", "tests/stack/flows/test_publish_events.py"),
    "infra/operate/held_removals.py": ("a stage's queue", f"{STACK}/operate/test_pushes.py"),
    "infra/operate/pacing.py": ("it reads a stage's timelines", f"{STACK}/operate/test_pushes.py"),
    "infra/operate/passes/registrations.py": ("a stage's table", f"{STACK}/operate/passes/test_registrations.py"),
    "infra/operate/rechecks.py": ("a stage's tables and queue", f"{STACK}/operate/test_pushes.py"),
    "infra/operate/redrive.py": ("a stage's queues", f"{STACK}/operate/test_pushes.py"),
    "infra/operate/templates/publishing.py": ("a stage's tables", f"{STACK}/operate/templates/test_push.py"),
    "infra/operate/templates/touch.py": ("a stage's table", f"{STACK}/operate/templates/test_touch.py"),
    "infra/stage/errors.py": ("an exception", "tests/unit/infra/stage/test_stage.py"),
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


def test_every_exception_is_needed_and_names_a_test() -> None:
    assert [name for name, (reason, test) in ELSEWHERE.items() if not reason or not (PROJECT / test).exists()] == []
    used = {exception_for(module) for module in modules() if not unit_test_of(module).exists()}
    assert set(ELSEWHERE) - used == set(), "every module has a unit test: remove the exception"


def test_class_name_means_one_thing() -> None:
    """In the service, the tooling and the benchmarks; classes inside of functions are left out."""
    sources = [path.read_text() for package in (*PACKAGES, "benchmarks") for path in (PROJECT / package).rglob("*.py")]
    names = Counter(name for source in sources for name in re.findall(r"^class _?(\w+)", source, re.MULTILINE))
    assert [name for name, count in names.items() if count > 1] == []


def test_tests_use_no_private_name_and_patch_no_module() -> None:
    """Collaborators come in as arguments. Patches of this process, such as its arguments, are no such names."""
    forbidden = re.compile(
        r"(?<![\w.])(?!self\b|cls\b|os\b|sys\b)[A-Za-z]\w*\._[a-z]\w*"  # another object's private name
        r"|^from (?:chalicelib|infra)[\w.]* import .*\b_[a-z]"
        r"|(?:setattr|patch)\([\"'](?:chalicelib|infra|app)\b"
        r"|patch\.object\((?!self\.)",
        re.MULTILINE,
    )
    here = Path(__file__)
    texts = {file: file.read_text() for file in (PROJECT / "tests").rglob("*.py") if file != here}
    assert {str(file): found[0] for file, text in texts.items() if (found := forbidden.search(text))} == {}
