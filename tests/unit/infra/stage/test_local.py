"""The local run of this checkout is found by its description, and only while something listens there."""

import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.stage.errors import StageError
from infra.stage.local import DESCRIPTION, default_stage, read_description, running_since, use_stage


def describe(folder: Path, port: int) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    credentials = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "eu-central-1"}
    (folder / DESCRIPTION).write_text(json.dumps({"aws_endpoint_url": endpoint, "credentials": credentials}))


@pytest.fixture(autouse=True)
def _no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def up(tmp_path: Path, listener: socket.socket) -> Path:
    """The folder of a run that is up."""
    describe(tmp_path, listener.getsockname()[1])
    return tmp_path


def test_stage_is_local_while_the_run_is_up(up: Path) -> None:
    assert default_stage({}, folder=up) == "local"
    since = running_since(up)
    assert since is not None
    assert abs(since - datetime.now(UTC)) < timedelta(minutes=5)


def test_stage_is_dev_without_a_run(tmp_path: Path) -> None:
    assert default_stage({}, folder=tmp_path) == "dev"
    assert running_since(tmp_path) is None


def test_environment_names_another_stage(up: Path) -> None:
    assert default_stage({"PASSWIRE_STAGE": "staging"}, folder=up) == "staging"
    assert default_stage({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, folder=up) == "dev"


def test_stale_description_is_one_sentence(up: Path, listener: socket.socket) -> None:
    listener.close()
    with pytest.raises(StageError, match=r"nothing listens at http://127\.0\.0\.1:\d+; is the local run up\?"):
        read_description(up)
    assert default_stage({}, folder=up) == "dev"


def test_damaged_description_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / DESCRIPTION).write_text("{")
    with pytest.raises(StageError, match="cannot be read"):
        read_description(tmp_path)


def test_using_the_local_stage_replaces_a_profile(up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    use_stage("local", folder=up)
    assert "AWS_PROFILE" not in os.environ
    assert os.environ["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")


def test_using_another_stage_changes_nothing(up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    use_stage("dev", folder=up)
    assert os.environ["AWS_PROFILE"] == "work"
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_endpoint_that_is_set_stays(up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    use_stage("local", folder=up)
    assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"


def test_local_stage_without_a_run_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="make up"):
        use_stage("local", folder=tmp_path)
