"""Tests of the authentication keys of a stage whose secret was deleted."""

import json

import pytest

from infra.stage.errors import StageError
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys
from tests.support.cloud import Cloud

SECRET = "passwire/dev/authentication-keys"
SCHEDULED = json.dumps({"__type": "InvalidRequestException", "Message": "already scheduled for deletion"})


def test_keys_in_their_recovery_window_are_not_replaced(cloud: Cloud) -> None:
    """New keys would invalidate every installed pass, so that this is checked before anything is deployed."""
    cloud.says("DescribeSecret", json.dumps({"Name": SECRET, "DeletedDate": 1_795_000_000}))
    cloud.says("CreateSecret", SCHEDULED, status=400)
    for look in (check_authentication_keys, ensure_authentication_keys):
        with pytest.raises(StageError, match=f"restore-secret --secret-id {SECRET}"):
            look("dev")
    cloud.says("DescribeSecret", json.dumps({"Name": SECRET}))
    check_authentication_keys("dev")


def test_creation_of_keys_waits_for_the_name_of_a_deleted_secret(cloud: Cloud) -> None:
    cloud.says("DescribeSecret", json.dumps({"__type": "ResourceNotFoundException"}), status=400)
    cloud.says("CreateSecret", SCHEDULED, status=400)
    said: list[str] = []

    def is_free_next_time() -> None:
        cloud.says("CreateSecret", json.dumps({"Name": SECRET}))

    cloud.afterwards["DescribeSecret"] = is_free_next_time
    waited: list[float] = []
    ensure_authentication_keys("dev", on_progress=said.append, sleep=waited.append)
    assert len(waited) == 1
    assert said == [f"waiting until the name of the deleted secret {SECRET} is free again"]
    assert cloud.actions().count("CreateSecret") == 2
