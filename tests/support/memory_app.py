"""The app of this service in this process without AWS: tables in memory, a list for the queue, credentials of a chain.

It takes events of API Gateway, DynamoDB Streams and SQS in their raw form, thousands per second.
"""

import contextlib
import importlib
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from chalicelib.apns.client import Pace
from chalicelib.apns.outcomes import Outcome, Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.aws.secrets import PassTypeSecret, Secrets
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import Link, sign_link
from chalicelib.updates.protocol import Version
from infra.local.certificates import DevelopmentChain, make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER
from tests.schedules.memory import Memory
from tests.support.in_process import LambdaContext

SETTINGS = {
    "PASSWIRE_STAGE": "memory",
    "PASSWIRE_PASSES_TABLE": "passes",
    "PASSWIRE_VERSIONS_TABLE": "versions",
    "PASSWIRE_REGISTRATIONS_TABLE": "registrations",
    "PASSWIRE_DEVICES_TABLE": "devices",
    "PASSWIRE_PUSH_QUEUE_URL": "https://sqs.example/push",
    "PASSWIRE_DEAD_LETTER_QUEUE_URL": "https://sqs.example/dead",
    "PASSWIRE_LOG_KEY": "log-key",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
CATCH_ALL = "/{proxy+}"
KEY = AuthenticationKey("1", b"m" * 32)
KEYS = AuthenticationKeys((KEY,))
DEVICE = "d" * 32
PASS = PassId(PASS_TYPE_IDENTIFIER, "7K2M9Q")
ITEM = {"pass_id": str(PASS), "template": "boarding", "fields": {"gate": "A7"}}
TOKEN = KEY.derive(PASS).value
LINK = sign_link(KEYS, Link((PASS,), int(time.time()) + 86_400))


class MemorySecrets(Secrets):
    """The credentials of a development chain, for every pass type."""

    def __init__(self, chain: DevelopmentChain) -> None:
        super().__init__(stage="memory")
        self._secret = PassTypeSecret(
            certificate=chain.pass_type_certificate.read_text(),
            private_key=chain.pass_type_key.read_text(),
            intermediate=chain.intermediate.read_text(),
        )

    def authentication_keys(self) -> AuthenticationKeys:
        return KEYS

    def pass_type(self, pass_type_identifier: str) -> PassTypeSecret:
        assert pass_type_identifier
        return self._secret


def _import_app() -> Any:  # noqa: ANN401 - a module
    """Import the app with `SETTINGS`; leaves the environment and an app that was imported before as they were."""
    before = sys.modules.pop("app", None)
    try:
        with patch.dict(os.environ, SETTINGS):
            app = importlib.import_module("app")
            assert app.services.settings.stage == SETTINGS["PASSWIRE_STAGE"]  # they are read at their first use
    finally:
        if before is not None:
            sys.modules["app"] = before
    return app


class MemoryApp:
    """One execution environment, in which `PASS` exists.

    Args:
        folder: for the certificates of a development chain.
    """

    def __init__(self, folder: Path) -> None:
        chain = make_development_chain(
            folder, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        self.app = _import_app()
        self.rows = Memory()
        self.pushed: list[Push] = []
        self.tasks: list[object] = []
        self.dead_letters: list[object] = []
        services = self.app.services
        services.store = self.rows.store()
        services.secrets = MemorySecrets(chain)
        services.queue = cast(
            "Any",
            SimpleNamespace(
                send=lambda tasks, **_: self.tasks.extend(tasks),
                send_refusals=lambda records, **_: self.dead_letters.extend(records),
                send_dead_letters=self.dead_letters.extend,
                postpone=lambda *_, **__: None,
                hold=lambda *_, **__: None,
            ),
        )
        services.client_for = lambda _: SimpleNamespace(push=self._push, connections=0, identity="memory")
        services.images = SimpleNamespace(validate_exist=lambda _: None)
        self.starts_over()

    def starts_over(self) -> None:
        """Forget what requests have written."""
        for rows in vars(self.rows).values():
            rows.clear()
        for written in (self.pushed, self.tasks, self.dead_letters):
            written.clear()
        self.rows.items[PASS] = dict(ITEM)
        self.rows.versions[PASS] = Version(int(time.time()) - 3600, 1)

    def match(self, path: str) -> tuple[str, list[str]]:
        """Return the route of a path as API Gateway finds it, and the path's parameters."""
        parts = path.split("/")
        for route in self.app.app.routes:
            pattern = route.split("/")
            if len(pattern) == len(parts) and all(p[:1] == "{" or p == g for p, g in zip(pattern, parts, strict=True)):
                return route, [given for part, given in zip(pattern, parts, strict=True) if part[:1] == "{"]
        return CATCH_ALL, [path.removeprefix("/")]

    def requests(self, event: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Handle a request; returns the answer, and what was logged."""
        with logged() as output:
            answer = self.app.app(event, LambdaContext())
        return answer, output.getvalue()

    def invoke(self, function: str, event: dict[str, Any]) -> list[str]:
        """Call a function with a batch; returns the identifiers of what failed."""
        with logged():
            result = getattr(self.app, function)(event, LambdaContext())
        return [failure["itemIdentifier"] for failure in result["batchItemFailures"]]

    def _push(self, pushes: Sequence[Push], *, deadline: float, pace: Pace) -> Iterator[Outcome]:
        assert deadline
        assert pace
        for push in pushes:
            self.pushed.append(push)
            yield Outcome(push, OutcomeKind.DELIVERED, status=200)


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """Collect what is logged."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        yield output
