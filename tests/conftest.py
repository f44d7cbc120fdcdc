"""Fixtures of all tests: one local run per session, and the participants of a test: phone, pipeline, issuer, APNs."""

import gc
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import hypothesis
import pytest

from chalicelib.aws.secrets import Secrets
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import Link, sign_link
from infra.deploy.package import Package
from infra.local.certificates import DevelopmentChain, make_development_chain
from infra.local.phone import Phone
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, LocalRun, local_run
from infra.stage.local import DESCRIPTION, STAGE
from tests.support.eventually import Apns
from tests.support.shared_package import shared_package, with_package

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.browser import OpenPage

pytest_plugins = ["tests.support.permissions", "tests.support.leaks"]

# The duration of an example depends on the load of the machine. `make test-unit` takes the profile "quick".
hypothesis.settings.register_profile("passwire", deadline=None, max_examples=50)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)
hypothesis.settings.load_profile("passwire")


def pytest_configure() -> None:
    """Handle Ctrl-C, which a shell makes its background processes ignore; children of the tests would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()


def pytest_xdist_auto_num_workers() -> int:
    """Run half as many processes again as there are processors: tests also wait for sockets and other processes."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_finish() -> None:
    """Collect garbage less often, without what was imported and collected: saves a tenth of the unit tests' CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the local run, so that `pytest -m "not stack"` leaves them out."""
    for item in items:
        if {"stack", "service"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("stack")


@pytest.fixture(scope="session")
def local_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The package of the local run, as an earlier start leaves it."""
    return shared_package(tmp_path_factory, STAGE)


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory, local_package: Package) -> Path:
    return with_package(local_package, tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="session")
def stack(stack_folder: Path) -> Iterator[LocalRun]:
    """The whole service, deployed on an embedded AWS for this session."""
    from tests.support.leaks import observe_stack  # noqa: PLC0415 - pytest imports plugins itself

    with local_run(stack_folder, on_progress=lambda _: None) as running:
        running.use()
        yield running
        observe_stack(running, stack_folder)


@pytest.fixture(scope="session")
def local_json(stack: LocalRun, stack_folder: Path) -> Path:
    """The file that describes the session's local run to other programs."""
    assert stack
    return stack_folder / DESCRIPTION


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> DevelopmentChain:
    """Development certificates, without a local run."""
    folder: Path = tmp_path_factory.mktemp("chain")
    return make_development_chain(folder, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """A browser; no longer than for a module, since no test can use asyncio while Playwright runs."""
    from tests.support.browser import launched  # noqa: PLC0415 - few tests need Playwright

    with launched() as opened:
        yield opened


@pytest.fixture
def open_page(browser: "Browser") -> "Iterator[OpenPage]":
    """Open pages of a size, with the options of a browser context; a page must cause no error and no warning."""
    from tests.support.browser import pages  # noqa: PLC0415 - as above

    with pages(browser) as opened:
        yield opened


@dataclass(frozen=True)
class Pipeline:
    """Writes pass items with an AWS SDK, without any code of this service."""

    table: Any
    template: str
    pass_type_identifier: str

    @classmethod
    def of(cls, stack: LocalRun) -> "Pipeline":
        table = boto3.resource("dynamodb").Table(stack.tables["passes"])
        return cls(table, stack.template, stack.pass_type_identifier)

    def writes(self, serial_number: str, **attributes: object) -> PassId:
        """PutItem: replaces an existing item."""
        pass_id = PassId(self.pass_type_identifier, serial_number)
        self.table.put_item(Item={"pass_id": str(pass_id), "template": self.template, **attributes})
        return pass_id

    def deletes(self, pass_id: PassId) -> None:
        self.table.delete_item(Key={"pass_id": str(pass_id)})


@pytest.fixture
def pipeline(stack: LocalRun) -> Pipeline:
    return Pipeline.of(stack)


@pytest.fixture
def apns(stack: LocalRun) -> Apns:
    return Apns(stack.apns_control_url)


@pytest.fixture
def serial_number() -> str:
    """A serial number that no other test uses."""
    return f"T-{secrets.token_hex(6)}"


@pytest.fixture
def phone() -> Iterator[Phone]:
    device = Phone()
    yield device
    device.close()


@dataclass(frozen=True)
class Issuer:
    """Issues a pass to a person for the first time."""

    stack: LocalRun

    def token(self, pass_id: PassId) -> str:
        return self._keys().issue(pass_id, item_token=None).value

    def link_token(self, *pass_ids: PassId, lifetime_seconds: int = 3600) -> str:
        """Sign the token of a download link."""
        return sign_link(self._keys(), Link(pass_ids, int(time.time()) + lifetime_seconds))

    def issues(self, pass_id: PassId) -> httpx.Response:
        return httpx.get(
            f"{self.stack.api_url}/v1/passes/{pass_id.pass_type_identifier}/{pass_id.serial_number}",
            headers={"Authorization": f"ApplePass {self.token(pass_id)}"},
            timeout=30,
        )

    def hands(self, pass_id: PassId, phone: Phone) -> None:
        """Issue a pass, and add it to a phone."""
        issued = self.issues(pass_id)
        phone.adds(issued.content, last_modified=issued.headers.get("Last-Modified"))

    def _keys(self) -> AuthenticationKeys:
        return Secrets(stage=self.stack.stage).authentication_keys()


@pytest.fixture
def issuer(stack: LocalRun) -> Issuer:
    return Issuer(stack)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Restore the environment after each test, so that the session's local run stays reachable."""
    before = dict(os.environ)
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)
