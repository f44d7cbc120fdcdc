"""Gives the doctor's checks access to a deployed stage.

Each value is fetched once, at its first use, and cached for the run. Checks run concurrently: those that need the same
value wait for one request, and clients are created one at a time, since boto3's session is not thread-safe while it
creates a client.
"""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from botocore.config import Config

from chalicelib.aws.secrets import PassTypeSecret
from chalicelib.core.attributes import plain_item
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.core.secret_forms import SecretNames
from chalicelib.passes.item import parse_pass_id
from chalicelib.passes.item_token import parse_authentication_token
from chalicelib.settings import Settings
from infra.core.program import command
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage import aws
from infra.stage.stage import Stage

CONFIG = Config(connect_timeout=3, read_timeout=8, retries={"total_max_attempts": 2, "mode": "standard"})
LOOKED_BACK = timedelta(minutes=15)
DOWNLOAD_SECONDS = 30.0
SAMPLED_PASSES = 100
"""Number of pass items to check: each read costs money, and a stage may have millions."""
T = TypeVar("T")


class DoctorContext:
    """A deployed stage.

    Args:
        stage: the stage.
        clock: returns this machine's time, epoch seconds.
    """

    def __init__(self, stage: Stage, *, clock: Callable[[], float] = time.time) -> None:
        self.stage = stage
        self.clock = clock
        self._secrets = stage.secrets
        self._making = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._clients: dict[str, Any] = {}
        self._cached: dict[str, Any] = {}

    def command(self, *arguments: str) -> str:
        """Return a command line for this stage, such as `passwire deploy --stage dev`."""
        return command(*arguments, "--stage", self.stage.name)

    @property
    def redeploy(self) -> str:
        """The command that deploys the stage again."""
        return self.command("deploy")

    def logs_of(self, role: str) -> str:
        """Return the command that shows what a function logged in the last hour."""
        return self.command("logs", "--function", role, "--since", "1h")

    def import_certificate(self, kind: str = "PASS_TYPE") -> str:
        """Return the command that imports a certificate."""
        return self.command("cert import", kind, "FILE")

    def rotate_certificate(self, kind: str) -> str:
        """Return the command that replaces a certificate."""
        return self.command("cert rotate", kind, "FILE")

    def set_url(self) -> str:
        """Return the command that lets passes contain the URL of this stage's API."""
        return self.command("deploy", "--web-service-url", self.stage.api_url)

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time, without types
        """Return a client with short timeouts, since a person waits for the doctor's answer."""
        with self._making:
            if service not in self._clients:
                self._clients[service] = aws.client(service, config=CONFIG)
            return self._clients[service]

    def function(self, role: str) -> dict[str, Any]:
        """Return a function's configuration."""
        name = self.stage.functions[role]
        return self._once(
            f"function {role}", lambda: self.client("lambda").get_function_configuration(FunctionName=name)
        )

    def settings(self, role: str) -> Settings:
        """Return the settings in a function's environment.

        Raises:
            ConfigurationError: they are incomplete or invalid.
        """
        return Settings.from_environment(self.function(role).get("Environment", {}).get("Variables", {}))

    def code(self, role: str) -> bytes:
        """Return the zip that a function runs."""
        name = self.stage.functions[role]

        def fetch() -> bytes:
            location = self.client("lambda").get_function(FunctionName=name)["Code"]["Location"]
            return httpx.get(location, timeout=DOWNLOAD_SECONDS).raise_for_status().content

        return self._once(f"code {role}", fetch)

    def table(self, role: str) -> dict[str, Any]:
        """Return a table's description."""
        name = self.stage.tables[role]
        return self._once(f"table {role}", lambda: self.client("dynamodb").describe_table(TableName=name)["Table"])

    @property
    def pass_types(self) -> list[str]:
        """Pass types that have credentials."""
        return self._once("pass types", self._list_pass_types)

    def pass_type_secret(self, pass_type_identifier: str) -> PassTypeSecret:
        """Return the credentials of a pass type.

        Raises:
            ConfigurationError: the secret is malformed.
        """
        with self._locks["secrets"]:
            return self._secrets.pass_type_with_apns(pass_type_identifier)

    @property
    def authentication_keys(self) -> AuthenticationKeys:
        """Keys of authentication tokens.

        Raises:
            ConfigurationError: they are missing or malformed.
        """
        with self._locks["secrets"]:
            return self._secrets.authentication_keys()

    @property
    def sample(self) -> list[dict[str, Any]]:
        """Some pass items: all attributes, in DynamoDB's JSON."""
        return self._once(
            "sample",
            lambda: self.client("dynamodb").scan(TableName=self.stage.tables["passes"], Limit=SAMPLED_PASSES)["Items"],
        )

    @property
    def sampled_passes(self) -> Iterator[tuple[PassId, AuthenticationToken | None]]:
        """Passes of the sample, each with the token in its item, if there is one."""
        for item in self.sample:
            with contextlib.suppress(RefusedError):  # invalid items are reported in the dead-letter queue
                attributes = plain_item(item)
                pass_id = parse_pass_id(attributes)
                yield pass_id, parse_authentication_token(pass_id, attributes)

    @property
    def issued_passes(self) -> Iterator[tuple[PassId, str]]:
        """Passes of the sample, each with the token that phones authenticate with."""
        for pass_id, own in self.sampled_passes:
            yield pass_id, self.authentication_keys.issue(pass_id, item_token=own).value

    @property
    def templates(self) -> TemplatesBucket:
        """Bucket of templates."""
        with self._making:
            return TemplatesBucket(self.stage)

    def newest(self, namespace: str, metric: str, **dimensions: str) -> float | None:
        """Return the newest maximum of a metric in the last 15 minutes; None if CloudWatch has none."""
        now = datetime.now(UTC)
        points = self.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now - LOOKED_BACK,
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        newest = max(points, key=lambda point: point["Timestamp"], default=None)
        return float(newest["Maximum"]) if newest else None

    @property
    def web_service_url(self) -> str:
        """Base URL that passes contain."""
        return (self.settings("api").web_service_url or self.stage.api_url).rstrip("/")

    @property
    def is_local(self) -> bool:
        """True if AWS is embedded on this machine, where a URL that phones cannot reach is not a fault."""
        return is_loopback(str(self.client("dynamodb").meta.endpoint_url))

    def _list_pass_types(self) -> list[str]:
        prefix = SecretNames(self.stage.name).pass_type("")
        pages = self.client("secretsmanager").get_paginator("list_secrets")
        found = pages.paginate(Filters=[{"Key": "name", "Values": [prefix]}])
        return sorted(secret["Name"].removeprefix(prefix) for page in found for secret in page["SecretList"])

    def _once(self, name: str, fetch: Callable[[], T]) -> T:
        with self._locks[name]:
            if name not in self._cached:
                self._cached[name] = fetch()
            cached: T = self._cached[name]
            return cached


def is_loopback(url: str) -> bool:
    """Return True if a URL leads to this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
