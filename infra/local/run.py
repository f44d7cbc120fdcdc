"""The whole service on this machine: certificates, embedded AWS, the deployed stack, secrets, the stand-in for APNs.

What an outside program needs to drive it stands in `local.json` of its folder, from when it is ready until it stops.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from infra.deploy.change_sets import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.package import build_package
from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, DevelopmentChain, make_development_chain
from infra.local.ministack import LocalError, Ministack, finish_functions, finish_gateway, finish_tables, running
from infra.stage.secrets import ensure_authentication_keys, put_pass_type
from infra.stage.stage import Stage

STAGE = "local"
PASS_TYPE_IDENTIFIER = "pass.dev.passwire.boarding"
TEAM_IDENTIFIER = "DEVTEAM001"
TEMPLATE = "boarding"
DESCRIPTION = "local.json"
LOCK = "lock"


@dataclass(frozen=True)
class LocalRun:
    """What `local.json` says; URLs without a slash at their end, files as absolute paths.

    Args:
        api_url: the base that `/v1/...` follows.
        aws_endpoint_url: of every AWS service.
        region: of the embedded AWS.
        tables: names by role: passes, versions, registrations, devices.
        queues: URLs by role: push, dead_letter, stream_failure, held_removals.
        templates_bucket: where templates are pushed to.
        pass_type_identifier: one whose certificate is there.
        template: one that a pass item can name.
        apns_url: where the service pushes to.
        apns_control_url: where the pushes that arrived are listed, and answers programmed.
        ca_file: the root to trust for `apns_url` and for the signatures.
        certificates: of the signing chain: root, intermediate, pass_type.
        functions: names of the Lambda functions by role: api, push, push_worker, check_certificates.
        stage: whose secrets stand under `passwire/<stage>/`.
        credentials: environment variables with which an AWS SDK talks to it.
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
    ca_file: str
    certificates: dict[str, str]
    functions: dict[str, str]
    stage: str
    credentials: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The stack that runs in `folder`; None where none does, whatever a run that was killed left there."""
        try:
            with (folder / LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return cls(**json.loads((folder / DESCRIPTION).read_text())) if (folder / DESCRIPTION).exists() else None
        except FileNotFoundError:
            pass
        return None

    def use(self) -> None:
        """Make the AWS SDK of this process talk to it."""
        os.environ.update(self.credentials)


@contextlib.contextmanager
def local_run(folder: Path, *, on_progress: Callable[[str], None], port: int | None = None) -> Iterator[LocalRun]:
    """Bring everything up, and take everything down at the end.

    Args:
        folder: for certificates, logs and `local.json`; made if need be.
        on_progress: takes a line of progress.
        port: of the embedded AWS; None for any that is free.

    Raises:
        LocalError: something is in the way; nothing is left running.
        DeployError, PackagingError: the stack could not be deployed; nothing is left running.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(_only_one(folder))
        (folder / DESCRIPTION).unlink(missing_ok=True)  # of a run that was killed
        environment = dict(os.environ)
        cleanup.callback(_restore_environment, environment)
        on_progress("making development certificates")
        chain = make_development_chain(
            folder / "certificates", pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER
        )
        ministack = cleanup.enter_context(running(folder / "ministack", port=port, on_progress=on_progress))
        os.environ.update(ministack.environment)
        simulator = cleanup.enter_context(
            ApnsStandIn.start(
                certificate=chain.apns_server_certificate,
                private_key=chain.apns_server_key,
                client_ca=chain.intermediate,
                provider_keys={KEY_ID: chain.provider_public_key},
            )
        )
        stage = Deployer(STAGE, on_progress=on_progress).deploy(
            lambda: build_package(STAGE, folder / "package"),
            parameters={
                "ApnsUrl": simulator.apns_url,
                "ApnsCa": chain.root.read_text(),
                "PathParameters": "decoded",
            },
            dialogue=Unattended(),
        )
        _put_secrets(chain)
        finish_tables(stage)
        finish_functions(stage)
        description = _describe(stage, ministack, simulator, chain, api_url=finish_gateway(stage, ministack))
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
            "intermediate": chain.intermediate.read_text(),
            "apns": {
                "team_identifier": TEAM_IDENTIFIER,
                "key_id": KEY_ID,
                "private_key": chain.provider_key.read_text(),
            },
        },
    )


def _describe(
    stage: Stage, ministack: Ministack, simulator: ApnsStandIn, chain: DevelopmentChain, *, api_url: str
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
        apns_url=simulator.apns_url,
        apns_control_url=simulator.control_url,
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
def _only_one(folder: Path) -> Iterator[None]:
    """A lock that ends with this process."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(f"a local stack runs already; {folder / DESCRIPTION} says where") from None
        yield


def _write(path: Path, content: dict[str, Any]) -> None:
    """All of it or nothing: whoever waits for the file must not read half."""
    half = path.with_suffix(".half")
    half.write_text(json.dumps(content, indent=2) + "\n")
    half.rename(path)


def _restore_environment(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
