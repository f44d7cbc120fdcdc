"""Fixtures for the tests of `template` commands: a name, a folder, and passes of the template."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from infra.local.run import LocalRun
from tests.stack.infra.operate.templates.template_commands import make
from tests.support import samples


@pytest.fixture
def name() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    return make(tmp_path / f"{name}.pass", samples.files_of("generic"))


@pytest.fixture
def passes(stack: LocalRun, name: str) -> Iterator[list[str]]:
    """Passes of the template, beside one of another template."""
    table = boto3.resource("dynamodb").Table(stack.tables["passes"])
    pass_ids = [f"{stack.pass_type_identifier}/{name}-{number}" for number in range(12)]
    other = f"{stack.pass_type_identifier}/{name}-other"
    with table.batch_writer() as batch:
        for pass_id in pass_ids:
            batch.put_item(Item={"pass_id": pass_id, "template": name})
        batch.put_item(Item={"pass_id": other, "template": f"{name}-other"})
    yield pass_ids
    with table.batch_writer() as batch:
        for pass_id in (*pass_ids, other):
            batch.delete_item(Key={"pass_id": pass_id})
