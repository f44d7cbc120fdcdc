"""The recipes of docs/guides/events.md, run as they are written, each with a real event on the stage's bus."""

import base64
import io
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from chalicelib.aws.event_bus import EventBus
from chalicelib.core.identifiers import PassId
from chalicelib.updates.events import Event, new_event, pass_fields
from infra.local.processes import PROJECT
from infra.local.run import LocalRun
from infra.stage.stage import Stage
from tests.support.eventually import eventually

GUIDE = PROJECT / "docs" / "guides" / "events.md"
RECIPES = dict(re.findall(r"<!-- recipe: ([\w ]+) -->\n```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL))
PATTERNS = dict(re.findall(r"<!-- pattern: ([\w ]+) -->\n```json\n(.*?)```", GUIDE.read_text(), re.DOTALL))
PRELUDE = ("rule", "undelivered")
TESTED = ("queue", "topic", "lambda", "api destination", "signed webhook", "firehose")
FUNCTION = """
import json, urllib.request
def handler(event, _):
    body, headers = json.dumps(event).encode(), {{"x-function": event["detail-type"]}}
    urllib.request.urlopen(urllib.request.Request({url!r}, body, headers)).close()
"""
SOON = {
    'VisibilityTimeout: "120"': 'VisibilityTimeout: "1"',
    "--timeout 110": "--timeout 1",
    "maxReceiveCount: 1000": "maxReceiveCount: 4",
}
"""Attempts every second, and four, instead of 1,000 every two minutes."""
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass
class Received:
    """A request to the webhook."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """The team's HTTP server: accepts a request if `accepts` says so, given how often its event was received."""

    accepts: Callable[[str, int], bool] = lambda _, __: True
    requests: list[Received] = field(default_factory=list)
    accepted: list[Received] = field(default_factory=list)

    def about(self, event: Event, *, header: str, requests: list[Received]) -> list[Received]:
        """Select the requests about an event that have a header."""
        pass_id = str(event.detail["pass_id"]).encode()
        return [one for one in list(requests) if pass_id in one.body and header in one.headers]

    def serve(self) -> ThreadingHTTPServer:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(headers, self.rfile.read(int(headers["content-length"])))
                receiver.requests.append(request)
                event_id = headers.get("webhook-id", "")
                times = sum(one.headers.get("webhook-id") == event_id for one in receiver.requests)
                is_accepted = not event_id or receiver.accepts(event_id, times)
                if is_accepted:
                    receiver.accepted.append(request)
                self.send_response(204 if is_accepted else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests are silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


@dataclass
class Team:
    """A team that follows the guide under names of its own, which are removed at the end."""

    stack: LocalRun
    folder: Path
    receiver: Receiver
    url: str
    name: str = field(default_factory=lambda: f"team{secrets.token_hex(4)}")

    @property
    def bus(self) -> str:
        return Stage.open(self.stack.stage).output("EventBusName")

    def follows(self, recipes: Sequence[str]) -> None:
        """Run the recipes in one shell, with this stage's and this team's names, and an id of each target."""
        text = "\n".join(f"export TARGET={_id(name)}\n{RECIPES[name]}" for name in recipes)
        names = {
            "--stage prod": f"--stage {self.stack.stage}",
            "https://crm.example.com/passes": self.url,
            "python3.13": RUNTIME,
            "python3 ": f"{sys.executable} ",
            "team-": f"{self.name}-",
            'Id: "team"': "Id: env.TARGET",
            **SOON,
        }
        for written, here in names.items():
            assert written in text, written
            text = text.replace(written, here)
        tools = self.folder / "bin"
        tools.mkdir()
        # Version 1 of the AWS CLI takes its own host for SQS, unless its command line names another one, and reads
        # parameters that are URLs.
        aws = f'{Path(sys.executable).parent}/aws --endpoint-url "$AWS_ENDPOINT_URL"'
        for name, command in (("passwire", f"{sys.executable} -m infra"), ("aws", aws)):
            (tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (tools / name).chmod(0o755)
        (self.folder / "config").write_text("[default]\ncli_follow_urlparam = false\n")
        (self.folder / "docs").symlink_to(PROJECT / "docs")
        variables = {
            "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
            "PYTHONPATH": str(PROJECT),
            "AWS_CONFIG_FILE": str(self.folder / "config"),
            "AWS_PAGER": "",
        }
        done = subprocess.run(
            ["sh", "-euc", text],
            env={**os.environ, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def publishes(self, name: str = "pass.updated") -> Event:
        """Publish an event, as publish_events does."""
        pass_id = PassId(self.stack.pass_type_identifier, secrets.token_hex(8))
        detail = {**pass_fields(pass_id, "boarding"), "devices": 2, "revision": 3}
        event = new_event(name, at=time.time(), identity=(str(pass_id),), detail=detail)
        assert EventBus(self.bus, client=boto3.client("events")).put([event]) == []
        return event

    def target(self, recipe: str) -> dict[str, Any]:
        """Return a target of the team's rule."""
        events = boto3.client("events")
        targets = events.list_targets_by_rule(Rule=f"{self.name}-passes", EventBusName=self.bus)["Targets"]
        (found,) = [target for target in targets if target["Id"] == recipe]
        return dict(found)

    def receives(self, queue: str) -> list[str]:
        """Receive the bodies of a queue of the team's."""
        sqs = boto3.client("sqs")
        url = sqs.get_queue_url(QueueName=f"{self.name}-{queue}")["QueueUrl"]
        return [m["Body"] for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])]

    def closes(self) -> None:
        events, functions, sqs = boto3.client("events"), boto3.client("lambda"), boto3.client("sqs")
        for rule in events.list_rules(EventBusName=self.bus, NamePrefix=self.name)["Rules"]:
            place = {"Rule": rule["Name"], "EventBusName": self.bus}
            ids = [target["Id"] for target in events.list_targets_by_rule(**place)["Targets"]]
            events.remove_targets(**place, Ids=ids)
            events.delete_rule(Name=rule["Name"], EventBusName=self.bus)
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            if f":{self.name}-" in mapping["EventSourceArn"]:
                functions.delete_event_source_mapping(UUID=mapping["UUID"])
        for page in functions.get_paginator("list_functions").paginate():
            for function in page["Functions"]:
                if function["FunctionName"].startswith(self.name):
                    functions.delete_function(FunctionName=function["FunctionName"])
        for url in sqs.list_queues(QueueNamePrefix=self.name).get("QueueUrls", []):
            sqs.delete_queue(QueueUrl=url)


@pytest.fixture(scope="module")
def team(stack: LocalRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A team that has followed all recipes; its function calls its server."""
    receiver = Receiver()
    server = receiver.serve()
    team = Team(stack, tmp_path_factory.mktemp("team"), receiver, f"http://127.0.0.1:{server.server_port}/passes")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("team.py", FUNCTION.format(url=team.url))
    boto3.client("lambda").create_function(
        FunctionName=f"{team.name}-passes",
        Runtime=RUNTIME,
        Role="arn:aws:iam::000000000000:role/team",
        Handler="team.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    try:
        team.follows([*PRELUDE, *TESTED])
        yield team
    finally:
        team.closes()
        server.shutdown()


def _id(recipe: str) -> str:
    """Return the id of a recipe's target: the recipes of the guide replace the target of each other."""
    return recipe.replace(" ", "-")


def module(name: str) -> ModuleType:
    """Import a file of the guide."""
    spec = spec_from_file_location(name, PROJECT / "docs" / "guides" / "webhook" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_every_recipe_is_tested() -> None:
    assert set(RECIPES) == {*PRELUDE, *TESTED}


def test_queue_topic_function_and_api_destination_receive_an_event(team: Team) -> None:
    """A queue that subscribes to the topic, the function and the API destination call the team's server."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName=f"{team.name}-subscribed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=team.target("topic")["Arn"], Protocol="sqs", Endpoint=arn)
    event = team.publishes()
    (body,) = eventually(lambda: team.receives("passes"), "the event in the queue")
    assert json.loads(body)["detail"] == event.detail
    (body,) = eventually(lambda: team.receives("subscribed"), "the event of the topic")
    assert json.loads(json.loads(body)["Message"])["detail"] == event.detail
    for header in ("x-function", "x-api-key"):
        received = eventually(
            lambda name=header: team.receiver.about(event, header=name, requests=team.receiver.accepted),  # type: ignore[misc]
            f"the request with {header}",
        )
        assert json.loads(received[0].body)["detail"] == event.detail
        assert received[0].headers[header] == ("YOUR-KEY" if header == "x-api-key" else "pass.updated")


def test_every_target_keeps_what_it_cannot_deliver(team: Team) -> None:
    for recipe in TESTED:
        target = team.target(_id(recipe))
        assert target["DeadLetterConfig"]["Arn"].endswith(f":{team.name}-undelivered"), recipe
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 86_400, recipe


def test_signed_webhook_sends_until_it_is_accepted_and_keeps_what_never_is(team: Team) -> None:
    """One event is accepted at the third attempt; the other one ends in the team's dead-letter queue."""
    team.receiver.accepts = lambda event_id, times: event_id != lost.detail["id"] and times > 2
    lost = new_event("pass.updated", at=0, identity=("lost",), detail={"pass_id": "lost"})
    lost, event = team.publishes(), team.publishes()
    (received,) = eventually(
        lambda: team.receiver.about(event, header="webhook-id", requests=team.receiver.accepted), "the event"
    )
    assert len(team.receiver.about(event, header="webhook-id", requests=team.receiver.requests)) == 3
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=f"{team.name}-webhook")["SecretString"]
    verify = module("receiver").verify
    assert verify(secret, received.headers, received.body)
    assert received.headers["webhook-id"] == event.detail["id"]
    content = json.loads(received.body)
    assert content == {"type": "pass.updated", "timestamp": event.detail["time"], "data": event.detail}
    assert not verify(secret, received.headers, received.body.replace(b"boarding", b"Boarding"))
    assert not verify(secret, received.headers, received.body, now=time.time() + 301)
    another = f"whsec_{base64.b64encode(b'another key').decode()}"
    assert not verify(another, received.headers, received.body)
    assert not verify(secret, {**received.headers, "webhook-id": "0"}, received.body)
    (body,) = eventually(lambda: team.receives("webhook-failed"), "the other event in the dead-letter queue")
    assert json.loads(body)["detail"] == lost.detail
    transcript = [
        {"headers": one.headers, "body": json.loads(one.body)}
        for one in team.receiver.about(event, header="webhook-id", requests=team.receiver.requests)
    ]
    (team.folder / "transcript.json").write_text(json.dumps(transcript, indent=2))


def test_firehose(team: Team) -> None:
    """The local AWS does not deliver from a rule to Firehose: the target and its role are checked instead."""
    target = team.target("firehose")
    firehose = boto3.client("firehose")
    stream = firehose.describe_delivery_stream(DeliveryStreamName=f"{team.name}-passes")["DeliveryStreamDescription"]
    assert target["Arn"] == stream["DeliveryStreamARN"]
    iam = boto3.client("iam")
    role = iam.get_role(RoleName=f"{team.name}-firehose")["Role"]
    assert target["RoleArn"] == role["Arn"]
    policy = iam.get_role_policy(RoleName=f"{team.name}-firehose", PolicyName="deliver")["PolicyDocument"]
    assert any(statement["Action"] == "firehose:PutRecord" for statement in policy["Statement"])
    (destination,) = stream["Destinations"]
    assert destination["ExtendedS3DestinationDescription"]["RoleARN"] == role["Arn"]


@pytest.mark.parametrize(
    ("pattern", "name", "detail", "matches"),
    [
        ("last holder", "pass.unregistered", {"last_holder": True}, True),
        ("last holder", "pass.unregistered", {"last_holder": False}, False),
        ("certificate", "certificate.expiring", {"days_left": 7}, True),
        ("certificate", "certificate.expiring", {"days_left": 8}, False),
    ],
)
@pytest.mark.usefixtures("stack")
def test_patterns_of_the_guide_select_these_events(
    pattern: str, name: str, detail: dict[str, Any], *, matches: bool
) -> None:
    event = {
        "id": "1",
        "account": "000000000000",
        "source": "passwire",
        "time": "2026-11-26T12:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail-type": name,
        "detail": detail,
    }
    answer = boto3.client("events").test_event_pattern(EventPattern=PATTERNS[pattern], Event=json.dumps(event))
    assert answer["Result"] is matches
