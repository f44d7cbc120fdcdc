"""The connections to AWS that a sandbox shares: whom they trust, and what they read for that."""

import json
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError, SSLError

from benchmarks.cold_start.tape import Player, Tape
from chalicelib import roots
from chalicelib.aws import session
from infra.local.certificates import DevelopmentChain
from infra.local.processes import PROJECT

ONCE = session.CONFIG.merge(Config(retries={"total_max_attempts": 1}))
SECRET = json.dumps({"Name": "a", "SecretString": "{}"}).encode()
QUEUE = json.dumps({"Successful": [], "Failed": []}).encode()


def _answer(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


@pytest.fixture
def endpoint(chain: DevelopmentChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Player]:
    """Services behind TLS, and a sandbox that has not talked to any yet."""
    player = Player(chain.apns_server_certificate, chain.apns_server_key, "http://localhost:9")
    tape: Tape = defaultdict(list)
    tape["secretsmanager.GetSecretValue"] = [_answer(SECRET)]
    tape["AmazonSQS.SendMessageBatch"] = [_answer(QUEUE)]
    player.play(tape)
    for name, value in {
        "AWS_ENDPOINT_URL": player.url,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    for name in ("_session", "_connections"):  # the test session's own come back afterwards
        monkeypatch.setattr(session, name, cache(getattr(session, name).__wrapped__))
    with player.running():
        yield player


def test_roots_are_read_once_for_all_services(
    endpoint: Player, chain: DevelopmentChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "roots.pem"
    shutil.copy(chain.root, bundle)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    session.client("secretsmanager").get_secret_value(SecretId="a")
    bundle.unlink()
    session._connections().close()  # and for every later connection
    session.client("sqs").send_message_batch(QueueUrl=f"{endpoint.url}/0/q", Entries=[])
    assert endpoint.wrong is None


def test_a_folder_of_roots_serves_as_a_file_does(
    endpoint: Player, chain: DevelopmentChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zip has one."""
    shutil.copy(chain.root, tmp_path / "root.pem")
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    monkeypatch.setattr(roots, "FOLDER", tmp_path)
    session.client("secretsmanager").get_secret_value(SecretId="a")
    assert endpoint.played.total() == 1


def test_a_server_that_no_root_vouches_for_is_not_talked_to(
    endpoint: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    monkeypatch.setattr(roots, "FOLDER", tmp_path)
    monkeypatch.setattr(session, "CONFIG", ONCE)
    with pytest.raises(SSLError):
        session.client("secretsmanager").get_secret_value(SecretId="a")
    assert endpoint.played.total() == 0


def test_a_server_of_another_name_is_not_talked_to(
    endpoint: Player, chain: DevelopmentChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(chain.root))
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url.replace("localhost", "127.1"))
    monkeypatch.setattr(session, "CONFIG", ONCE)
    with pytest.raises(SSLError):
        session.client("secretsmanager").get_secret_value(SecretId="a")


def test_request_without_response_fails_within_the_api_functions_timeout(
    endpoint: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint  # only for its environment
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    with socket.create_server(("127.0.0.1", 0), backlog=20) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            session.client("dynamodb").get_item(TableName="t", Key={"pass_id": {"S": "p"}})
    assert time.monotonic() - started < config["lambda_functions"]["api_handler"]["lambda_timeout"] - 1
