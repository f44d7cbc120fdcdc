"""The ports of a local run, which it keeps: passes on phones contain the API's, and bookmarks contain the page's."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from infra.local.ministack import LocalError
from infra.local.processes import port_is_free

FILE = "ports.json"
LOWEST, HIGHEST = 20_000, 32_000
"""Below the ports that Linux gives to outgoing connections, so that a kept port is not in use by chance."""
NAMES = {"aws": "the embedded AWS", "page": "the page", "apns": "the APNs stand-in", "apns_control": "its control"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the loopback interface.

    Args:
        aws: of every AWS service and of the API.
        page: of the page with the simulated phones.
        apns: of the stand-in for APNs.
        apns_control: of its control endpoint.
    """

    aws: int
    page: int
    apns: int
    apns_control: int

    @classmethod
    def choose(cls, folder: Path, *, aws: int | None, on_progress: Callable[[str], None]) -> Self:
        """Return the ports that the run of this folder had before, and free ones in place of those that are missing.

        Args:
            folder: of the run; the ports are written into it.
            aws: the port for the embedded AWS; None for the one that it had, or a free one.
            on_progress: takes a line per port that has to change.

        Raises:
            LocalError: the port of the embedded AWS is in use. Another one would not reach the passes on phones.
        """
        kept = _read(folder / FILE)
        wanted = kept.get("aws") if aws is None else aws
        if wanted is not None and not port_is_free(wanted):
            raise LocalError(f"port {wanted} is in use; stop what listens there or choose another with --port")
        chosen: dict[str, int] = {}
        for name, description in NAMES.items():
            port = wanted if name == "aws" else kept.get(name)
            if port is not None and (port in chosen.values() or not port_is_free(port)):
                on_progress(f"port {port} of {description} is in use; it gets another one")
                port = None
            chosen[name] = port or _free(taken={*chosen.values(), *kept.values()})
        ports = cls(**chosen)
        (folder / FILE).write_text(json.dumps(asdict(ports)) + "\n")
        return ports


def _read(path: Path) -> dict[str, int]:
    """Return the kept ports by name; those of a damaged file count as missing."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: port for name, port in content.items() if name in NAMES and isinstance(port, int)}


def _free(*, taken: set[int]) -> int:
    while True:
        port = random.randrange(LOWEST, HIGHEST)  # noqa: S311 - no secret
        if port not in taken and port_is_free(port):
            return port
