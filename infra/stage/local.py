"""Finds the local run of this checkout, and points the AWS SDK of a process at it.

A local run describes itself in `local.json` while it is up. A run that was killed leaves the file behind, so that it
counts only while something listens at its address.
"""

import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.stage.errors import StageError

STAGE = "local"
FOLDER = Path(__file__).parents[2] / ".passwire"
"""Where `up` keeps its certificates, logs and data by default."""
DESCRIPTION = "local.json"
ENDPOINT = "AWS_ENDPOINT_URL"
REPLACED_VARIABLES = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
"""Variables that would keep an AWS SDK from using the credentials and the endpoint of the local run."""
CONNECT_SECONDS = 1.0


def read_description(folder: Path = FOLDER) -> dict[str, Any]:
    """Return what `local.json` of a folder contains, if its run is up.

    Raises:
        StageError: no run is up, or nothing listens at the address in the file.
    """
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
    except FileNotFoundError:
        raise StageError("the local run is not up; start it in another terminal: make up") from None
    except (OSError, ValueError) as error:
        raise StageError(
            f"{folder / DESCRIPTION} cannot be read: {error}; start the local run again: make up"
        ) from None
    endpoint = str(description["aws_endpoint_url"])
    if not _listens(endpoint):
        raise StageError(f"nothing listens at {endpoint}; is the local run up? Start it in another terminal: make up")
    return description


def running_since(folder: Path = FOLDER) -> datetime | None:
    """Return when the local run of a folder was ready; None if no run is up."""
    try:
        read_description(folder)
        return datetime.fromtimestamp((folder / DESCRIPTION).stat().st_mtime, UTC)
    except (StageError, OSError):
        return None


def default_stage(environment: Mapping[str, str] = os.environ, *, folder: Path = FOLDER) -> str:
    """Return the stage of a command that names none: `PASSWIRE_STAGE`, or `local` while the local run is up, or `dev`.

    An endpoint in the environment is another choice, which the local run does not replace.
    """
    if named := environment.get("PASSWIRE_STAGE"):
        return named
    if ENDPOINT in environment:
        return "dev"
    return "dev" if running_since(folder) is None else STAGE


def use_stage(name: str, *, folder: Path = FOLDER) -> None:
    """Point the AWS SDK of this process at the local run if `name` is its stage; an endpoint that is set stays.

    Raises:
        StageError: the local run is not up.
    """
    if name != STAGE or ENDPOINT in os.environ:
        return
    description = read_description(folder)
    for variable in REPLACED_VARIABLES:
        os.environ.pop(variable, None)
    os.environ.update(description["credentials"])


def _listens(url: str) -> bool:
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port), CONNECT_SECONDS):
            return True
    except OSError:
        return False
