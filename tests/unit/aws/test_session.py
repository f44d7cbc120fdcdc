"""Tests of the shared connections to AWS: the root certificates that they trust and load, and their timeouts."""

import json
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError, SSLError

from benchmarks.cold_start.tape import Player, Tape
from chalicelib.aws import session
from infra.local.certificates import DevelopmentChain
from infra.local.processes import PROJECT

ONE_ATTEMPT = session.CONFIG.merge(Config(retries={"total_max_attempts": 1}))
SECRET = json.dumps({"Name": "a", "SecretString": "{}"}).encode()
QUEUE = json.dumps({"Successful": [], "Failed": []}).encode()


def _answer(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


@pytest.fixture
def endpoint(chain: DevelopmentChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[Player]:
    """Services behind TLS; the environment names them."""
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
    with player.running():
        yield player


def test_roots_are_read_once_for_all_services(
    endpoint: Player, chain: DevelopmentChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "roots.pem"
    shutil.copy(chain.root, bundle)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    clients = session.ClientFactory()
    clients.client("secretsmanager").get_secret_value(SecretId="a")
    bundle.unlink()
    clients.close()  # later requests need a new connection
    clients.client("sqs").send_message_batch(QueueUrl=f"{endpoint.url}/0/q", Entries=[])
    assert endpoint.wrong is None


def test_requests_have_a_constant_user_agent(endpoint: Player, chain: DevelopmentChain, tmp_path: Path) -> None:
    """Composing botocore's own takes 13 % of a call's CPU."""
    shutil.copy(chain.root, tmp_path / "root.pem")
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    agents: list[bytes | str] = []
    clients = session.ClientFactory(roots_folder=str(tmp_path))
    clients.events.register("before-send", lambda request, **_: agents.append(request.headers["User-Agent"]))
    clients.client("secretsmanager").get_secret_value(SecretId="a")
    assert endpoint.played.total() == 1
    assert [bytes(agent).split(b"/")[0] for agent in agents if isinstance(agent, bytes)] == [b"passwire Botocore"]


def test_folder_of_roots_is_trusted(endpoint: Player, chain: DevelopmentChain, tmp_path: Path) -> None:
    """The zip contains such a folder."""
    shutil.copy(chain.root, tmp_path / "root.pem")
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    session.ClientFactory(roots_folder=str(tmp_path)).client("secretsmanager").get_secret_value(SecretId="a")
    assert endpoint.played.total() == 1


def test_server_without_trusted_root_gets_no_request(endpoint: Player, tmp_path: Path) -> None:
    subprocess.run(["openssl", "rehash", tmp_path], check=True)
    clients = session.ClientFactory(config=ONE_ATTEMPT, roots_folder=str(tmp_path))
    with pytest.raises(SSLError):
        clients.client("secretsmanager").get_secret_value(SecretId="a")
    assert endpoint.played.total() == 0


def test_server_with_another_name_is_refused(
    endpoint: Player, chain: DevelopmentChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(chain.root))
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url.replace("localhost", "127.1"))
    with pytest.raises(SSLError):
        session.ClientFactory(config=ONE_ATTEMPT).client("secretsmanager").get_secret_value(SecretId="a")


def test_request_without_response_ends_with_the_read_timeout(endpoint: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint  # only for its environment
    impatient = ONE_ATTEMPT.merge(Config(read_timeout=0.1))
    with socket.create_server(("127.0.0.1", 0), backlog=20) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            session.ClientFactory(config=impatient).client("dynamodb").get_item(TableName="t", Key={"a": {"S": "p"}})
    assert time.monotonic() - started < session.READ_TIMEOUT_SECONDS


def test_attempts_without_response_end_within_the_api_functions_timeout(endpoint: Player) -> None:
    """The waits between the attempts are botocore's standard ones: a random part of 1, 2, 4 seconds and so on."""
    assert endpoint  # only for its environment
    retries = session.ClientFactory().client("dynamodb").meta.config.retries
    assert (retries["mode"], retries["total_max_attempts"]) == ("standard", session.ATTEMPTS)
    attempts = session.ATTEMPTS * max(session.READ_TIMEOUT_SECONDS, session.CONNECT_TIMEOUT_SECONDS)
    waits = sum(2**number for number in range(session.ATTEMPTS - 1))
    config = json.loads((PROJECT / ".chalice" / "config.json").read_text())
    assert attempts + waits < config["lambda_functions"]["api_handler"]["lambda_timeout"] - 1
