"""One simulated phone of the page, and the file in which all of them are saved.

The file is private: it contains push tokens and passes with their authentication tokens.
"""

import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.core.private_files import open_private
from infra.local.page.delivery import WaitingPushes
from infra.local.phone import InstalledPass, Phone
from infra.local.verification import PassError

MAX_NOTIFICATIONS = 4

PassKey = tuple[str, str]
"""Pass type identifier and serial number."""


class Screen(StrEnum):
    """Screens of a phone."""

    LOCKED = "locked"
    WALLET = "wallet"


@dataclass(frozen=True, slots=True)
class Update:
    """A downloaded change, for a notification on the lock screen.

    Args:
        at: epoch seconds.
        before: the archive that the phone had.
        after: the archive that it downloaded.
    """

    at: float
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """Identity of the notification on its phone."""
        return f"{self.at:.6f}"


@dataclass
class ShownPhone:
    """One phone.

    Args:
        number: of the phone, from 1.
        phone: uses the service.
        is_on: whether it is connected to APNs.
        screen: what it shows.
        selected: the pass that Wallet shows; None for none.
        updates: changes whose notification is on the lock screen, newest first.
        waiting: what APNs keeps for it while it is off.
        problem: why the last action failed; empty if it did not.
        unregistered: passes whose registration was deleted on the server only.
    """

    number: int
    phone: Phone
    is_on: bool = True
    screen: Screen = Screen.WALLET
    selected: PassKey | None = None
    updates: deque[Update] = field(default_factory=lambda: deque(maxlen=MAX_NOTIFICATIONS))
    waiting: WaitingPushes = field(default_factory=WaitingPushes)
    problem: str = ""
    unregistered: set[PassKey] = field(default_factory=set)
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1), repr=False)

    @property
    def name(self) -> str:
        return f"iPhone {self.number}"


def read_phones(file: Path) -> list[ShownPhone]:
    """Return the saved phones; none if the file is missing or damaged."""
    try:
        return [_restored(saved) for saved in json.loads(file.read_text())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PassError):
        return []


def save_phones(file: Path, phones: Iterable[ShownPhone]) -> None:
    """Write all phones to the file, completely or not at all."""
    content = json.dumps([_saved(shown) for shown in phones])
    unfinished = file.with_suffix(".unfinished")
    with open_private(unfinished, "wb") as opened:
        opened.write(content.encode())
    unfinished.replace(file)


def _restored(content: Mapping[str, Any]) -> ShownPhone:
    language = content["language"]
    passes = [
        InstalledPass.open(
            b64decode(saved["archive"]), language=language, last_modified=saved["last_modified"], verify=False
        )
        for saved in content["passes"]
    ]
    phone = Phone(
        language=language,
        device_library_identifier=content["device_library_identifier"],
        push_token=content["push_token"],
        passes={(saved.pass_type_identifier, saved.serial_number): saved for saved in passes},
        tags=dict(content["tags"]),
    )
    shown = ShownPhone(content["number"], phone, is_on=content["is_on"], selected=next(iter(phone.passes), None))
    for topic, (count, expiration) in content["waiting"].items():
        shown.waiting.counts[topic] = count
        shown.waiting.expirations[topic] = float(expiration)
    return shown


def _saved(shown: ShownPhone) -> dict[str, Any]:
    return {
        "number": shown.number,
        "language": shown.phone.language,
        "is_on": shown.is_on,
        "device_library_identifier": shown.phone.device_library_identifier,
        "push_token": shown.phone.push_token,
        "tags": dict(shown.phone.tags),
        "passes": [
            {"archive": b64encode(installed.archive).decode(), "last_modified": installed.last_modified}
            for installed in list(shown.phone.passes.values())
        ],
        "waiting": {
            topic: [count, str(shown.waiting.expirations[topic])] for topic, count in shown.waiting.counts.items()
        },
    }
