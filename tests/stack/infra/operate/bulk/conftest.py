"""A table without a stream and the template `member`, for imports and exports."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from infra.local.run import LocalRun
from tests.support import samples


@pytest.fixture
def table(stack: LocalRun) -> Iterator[str]:
    """A passes table for one test, without a stream, so that no function reacts to its changes."""
    client = boto3.client("dynamodb")
    name = f"import-{secrets.token_hex(4)}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pass_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pass_id", "KeyType": "HASH"}],
    )
    assert stack
    yield name
    client.delete_table(TableName=name)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.member_templates(tmp_path_factory.mktemp("templates"))
