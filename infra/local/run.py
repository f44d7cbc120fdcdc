"""Runs the whole service on this machine: certificates, embedded AWS, deployed stack, secrets, stand-in for APNs.

While it is ready, `local.json` in its folder contains everything that another program needs to use it. Its ports, its
certificates and its data stay in the folder, so that the next run continues where the last one ended.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.gateway_logs import ensure_gateway_may_log
from infra.local.apns import ApnsStandIn
from infra.local.authority import Authority, AuthorityServer, provider
from infra.local.certificates import KEY_ID, DevelopmentChain, keep_development_chain
from infra.local.kept_package import kept_package
from infra.local.ministack import LocalError, Ministack, finish_functions, finish_gateway, finish_tables, running
from infra.local.page import PHONES_FILE, Page
from infra.local.ports import Ports
from infra.local.processes import LOOPBACK
from infra.stage.local import DESCRIPTION, STAGE
from infra.stage.secrets import ensure_authentication_keys, put_pass_type
from infra.stage.stage import Stage

PASS_TYPE_IDENTIFIER = "pass.dev.passwire.boarding"
TEAM_IDENTIFIER = "DEVTEAM001"
TEMPLATE = "boarding"
LOCK = "lock"
DATA = ("certificates", "ministack")
"""Folders that `fresh` removes. The ports stay."""


@dataclass(frozen=True)
class LocalRun:
    """A running local run, as described in `local.json`. URLs end without a slash, paths are absolute.

    Args:
        api_url: the base URL, to which `/v1/...` is appended.
        aws_endpoint_url: of every AWS service.
        region: of the embedded AWS.
        tables: names by role: passes, versions, registrations, devices, counts.
        queues: URLs by role: push, dead_letter, stream_failure, held_removals, event_failure.
        templates_bucket: the bucket of the templates.
        pass_type_identifier: the pass type that has a certificate.
        template: a template for pass items.
        apns_url: the URL to which the service sends pushes.
        page_url: the page with the simulated phones (`infra/local/page`).
        apns_control_url: lists received pushes and programs answers (`infra/local/apns/control.py`).
        ca_file: the root certificate to trust for `apns_url` and for signatures.
        certificates: of the signing chain: root, intermediate, pass_type.
        functions: names of the Lambda functions by role: api, push, push_worker, publish_events,
            check_certificates.
        stage: the stage; its secrets are under `passwire/<stage>/`.
        credentials: environment variables with which an AWS SDK uses it.
    """

    api_url: str
    aws_endpoint_url: str
    region: str
    tables: dict[str, str]
    queues: dict[str, str]
    templates_bucket: str
    pass_type_identifier: str
    template: str
    apns_url: str
    apns_control_url: str
    page_url: str
    ca_file: str
    certificates: dict[str, str]
    functions: dict[str, str]
    stage: str
    credentials: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the local run of `folder`, or None if none runs there; files of a killed run are ignored."""
        try:
            with (folder / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return cls(**json.loads((folder / DESCRIPTION).read_text())) if (folder / DESCRIPTION).exists() else None
        except FileNotFoundError:
            pass
        return None

    def use(self) -> None:
        """Make the AWS SDK of this process use it, by its environment variables."""
        os.environ.update(self.credentials)


@contextlib.contextmanager
def local_run(
    folder: Path,
    *,
    on_progress: Callable[[str], None],
    port: int | None = None,
    fresh: bool = False,
    any_pass_type: bool = False,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[LocalRun]:
    """Start everything, and stop it at the end of the context.

    Args:
        folder: for ports, certificates, data, logs and `local.json`; created if missing.
        on_progress: called with each line of progress, also while the context lasts.
        port: the port of the embedded AWS; None for the one that it had in this folder before, or a free one.
        fresh: remove the data and the certificates of the run before.
        any_pass_type: issue a certificate for each pass type at its first use.
        parameters: stack parameters that differ from their defaults.

    Raises:
        LocalError: a local run exists in the folder, the port is in use, or the embedded AWS did not start.
        DeployError, PackagingError: the stack could not be deployed. Nothing keeps running after an error.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(_locked(folder))
        (folder / DESCRIPTION).unlink(missing_ok=True)  # of a run that was killed
        environment = dict(os.environ)
        cleanup.callback(_restore_environment, environment)
        ports = Ports.choose(folder, aws=port, on_progress=on_progress)
        if fresh:
            for name in DATA:
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / PHONES_FILE).unlink(missing_ok=True)
        chain = keep_development_chain(
            folder / "certificates", pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        authority_url = None
        if any_pass_type:
            authority = Authority(
                chain,
                team_identifier=TEAM_IDENTIFIER,
                on_issue=lambda name: on_progress(f"created a development certificate for pass type {name}"),
            )
            authority_url = cleanup.enter_context(AuthorityServer(authority)).url
        on_progress("starting the embedded AWS")
        ministack = cleanup.enter_context(
            running(
                folder / "ministack",
                port=ports.aws,
                on_progress=on_progress,
                keep_data=True,
                authority_url=authority_url,
            )
        )
        os.environ.update(ministack.environment)
        apns = cleanup.enter_context(
            ApnsStandIn.start(
                certificate=chain.apns_server_certificate,
                private_key=chain.apns_server_key,
                client_ca=chain.intermediate,
                provider_keys={KEY_ID: chain.provider_public_key},
                port=ports.apns,
                control_port=ports.apns_control,
            )
        )
        ensure_gateway_may_log(on_progress=lambda _: None)  # a person who starts a local run has no account to set up
        stage = Deployer(STAGE, on_progress=on_progress).deploy(
            lambda: kept_package(STAGE, folder / "package"),
            parameters={
                "ApnsUrl": apns.apns_url,
                "ApnsCa": chain.root.read_text(),
                "PathParameters": "decoded",
                **parameters,
            },
            dialogue=Unattended(),
        )
        _put_secrets(chain)
        finish_tables(stage)
        finish_functions(stage)
        description = _describe(
            stage,
            ministack,
            apns,
            chain,
            api_url=finish_gateway(stage, ministack),
            page_url=f"http://{LOOPBACK}:{ports.page}",
        )
        cleanup.enter_context(Page.start(asdict(description), folder=folder, port=ports.page))
        _write(folder / DESCRIPTION, asdict(description))
        cleanup.callback((folder / DESCRIPTION).unlink, missing_ok=True)
        on_progress("ready")
        yield description


def _put_secrets(chain: DevelopmentChain) -> None:
    ensure_authentication_keys(STAGE)
    put_pass_type(
        STAGE,
        PASS_TYPE_IDENTIFIER,
        {
            "certificate": chain.pass_type_certificate.read_text(),
            "private_key": chain.pass_type_key.read_text(),
            **provider(chain, team_identifier=TEAM_IDENTIFIER),
        },
    )


def _describe(
    stage: Stage,
    ministack: Ministack,
    apns: ApnsStandIn,
    chain: DevelopmentChain,
    *,
    api_url: str,
    page_url: str,
) -> LocalRun:
    return LocalRun(
        api_url=api_url,
        aws_endpoint_url=ministack.endpoint_url,
        region=ministack.environment["AWS_REGION"],
        tables=stage.tables,
        queues=stage.queues,
        templates_bucket=stage.templates_bucket,
        pass_type_identifier=PASS_TYPE_IDENTIFIER,
        template=TEMPLATE,
        apns_url=apns.apns_url,
        apns_control_url=apns.control_url,
        page_url=page_url,
        ca_file=str(chain.root),
        certificates={
            "root": str(chain.root),
            "intermediate": str(chain.intermediate),
            "pass_type": str(chain.pass_type_certificate),
        },
        functions=stage.functions,
        stage=STAGE,
        credentials=ministack.environment,
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder until the context or this process ends."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(
                f"a local run is active in {folder} already; stop it, or use it as {DESCRIPTION} there describes"
            ) from None
        yield


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file at once, so that no reader finds it unfinished."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.rename(path)


def _restore_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
