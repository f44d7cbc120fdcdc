"""The ledger of a soak: what was written, what each phone showed, and why a phone did not show a change."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.identifiers import PassId
from infra.local.phones import HeadlessPhone, Shown

SHOWN = "shown"
LATER = "replaced by a later change before the phone downloaded"
REMOVED = "the person had removed the pass"
UNINSTALLED = "APNs answered 410 for the device"
DELETED = "the pass was deleted"
REFUSED = "the item was refused, and the refusal is recorded"
GAVE_UP_LIST = "the phone had given up its calls, and showed it after its next list call"
GAVE_UP_DOWNLOAD = "the phone had given up a download, and showed it when it was asked to refresh"
LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Write:
    """A write of a pass item that changed its content.

    Args:
        number: counts all writes.
        valid: False for an item that cannot become a pass.
        deleted: the item was deleted.
        at: epoch seconds at its beginning.
    """

    number: int
    valid: bool = True
    deleted: bool = False
    at: float = field(default_factory=time.time)


@dataclass(slots=True)
class Holding:
    """A pass on a phone.

    Args:
        phone: the phone.
        pass_id: the pass.
        first: the number of the newest write when the phone added the pass.
        shown: the writes and the template revisions that the phone showed, oldest first.
        ended: the reason why the phone does not have the pass any more.
        last: the number of the newest write when that happened.
    """

    phone: HeadlessPhone
    pass_id: PassId
    first: int
    shown: list[tuple[int, int]] = field(default_factory=list)
    ended: str = ""
    last: float = math.inf


@dataclass(frozen=True, slots=True)
class Arrival:
    """A push that arrived.

    Args:
        phone: where.
        at: epoch seconds.
    """

    phone: HeadlessPhone
    at: float


class Ledger:
    """Records a soak, and accounts for every change on every phone that was registered for the pass."""

    def __init__(self) -> None:
        self.writes: dict[PassId, list[Write]] = defaultdict(list)
        self.revision, self.published_at = 0, 0.0
        """The newest template revision of which phones were notified, and since when."""
        self.extra_pushes = 0
        """Pushes to phones beyond the number of the changes of their passes and of their registrations."""
        self.arrivals: list[Arrival] = []
        """All pushes that arrived at phones."""
        self._holdings: dict[tuple[str, PassId], Holding] = {}
        self._ended: list[Holding] = []
        self._number = 0
        self._owed: Counter[str] = Counter()

    # ------------------------------------------------------------ what happens

    def next_write(self, *, valid: bool = True, deleted: bool = False) -> Write:
        """Make a write that is not recorded yet."""
        self._number += 1
        return Write(self._number, valid=valid, deleted=deleted)

    def wrote(self, pass_id: PassId, write: Write) -> None:
        """Record a write that was carried out, in the order of the writes of each pass."""
        self.writes[pass_id].append(write)
        self.notifies(pass_id)

    def notifies(self, pass_id: PassId) -> None:
        """Record that the phones of a pass have to be notified once."""
        for holding in self._holdings.values():
            if holding.pass_id == pass_id:
                self._owed[holding.phone.device_library_identifier] += 1

    def published(self, revision: int, *, at: float) -> None:
        """Record a template revision of which all phones are notified since `at`."""
        self.revision, self.published_at = revision, at
        for pass_id in self.writes:
            self.notifies(pass_id)

    def adds(self, phone: HeadlessPhone, pass_id: PassId) -> Holding:
        """A phone adds a pass."""
        self.ends(phone, pass_id, REMOVED)
        holding = Holding(phone, pass_id, self._newest(pass_id))
        self._holdings[phone.device_library_identifier, pass_id] = holding
        return holding

    def registers(self, phone: HeadlessPhone) -> None:
        """A phone registers a pass, which may get it a push."""
        self._owed[phone.device_library_identifier] += 1

    def ends(self, phone: HeadlessPhone, pass_id: PassId, reason: str) -> None:
        """A phone has a pass no longer."""
        if holding := self._holdings.pop((phone.device_library_identifier, pass_id), None):
            holding.ended, holding.last = reason, self._newest(pass_id)
            self._ended.append(holding)

    def shows(self, shown: Shown) -> None:
        """A phone shows a version of a pass."""
        if holding := self._holdings.get((shown.phone.device_library_identifier, shown.pass_id)):
            holding.shown.append(version_of(shown.content))

    def notified(self, phone: HeadlessPhone) -> None:
        """A push arrives at a phone."""
        self.arrivals.append(Arrival(phone, time.time()))
        if self._owed[phone.device_library_identifier] > 0:
            self._owed[phone.device_library_identifier] -= 1
        else:
            self.extra_pushes += 1

    # ------------------------------------------------------------ accounts

    def holdings(self) -> list[Holding]:
        """The passes that phones have."""
        return list(self._holdings.values())

    def held(self, phone: HeadlessPhone, pass_id: PassId) -> Holding | None:
        """The pass on a phone, or None if it does not have it."""
        return self._holdings.get((phone.device_library_identifier, pass_id))

    def expects(self, pass_id: PassId) -> Write | None:
        """The newest write of a pass."""
        return self.writes[pass_id][-1] if self.writes[pass_id] else None

    def behind(self) -> list[Holding]:
        """The passes on phones that do not show the newest valid write, or a revision of which they were notified."""
        return [holding for holding in self._holdings.values() if self._is_behind(holding)]

    def awaited(self) -> list[Holding]:
        """Those of `behind` that will show the newest write: valid, no deletion, and no call was given up after it."""
        newest = ((holding, self.expects(holding.pass_id)) for holding in self.behind() if not self.gave_up(holding))
        return [holding for holding, write in newest if write is not None and write.valid and not write.deleted]

    def gave_up(self, holding: Holding) -> bool:
        """Return true if a phone gave up its calls after the newest change, so that it may have missed a push."""
        newest = self.expects(holding.pass_id)
        return newest is not None and holding.phone.gave_up_at > max(newest.at, self.published_at)

    def account(self, explained: dict[int, str]) -> Counter[str]:
        """Account for each change on each phone.

        Args:
            explained: reasons for the passes on phones that are behind, by `id`.

        Returns:
            The number of changes by what became of them; `LOST` for those that nothing explains.
        """
        found: Counter[str] = Counter()
        for holding in [*self._holdings.values(), *self._ended]:
            shown = {number for number, _ in holding.shown}
            newest = max(shown, default=0)
            for write in self._due(holding):
                if write.number in shown:
                    found[SHOWN] += 1
                elif write.number < newest:
                    found[LATER] += 1
                else:
                    found[holding.ended or explained.get(id(holding), LOST)] += 1
        behind = [holding for holding in self.behind() if not self._due_number(holding)]
        found[LOST] += sum(explained.get(id(holding), LOST) == LOST for holding in behind)  # template revisions
        return found

    def _newest(self, pass_id: PassId) -> int:
        return self.writes[pass_id][-1].number if self.writes[pass_id] else 0

    def _due(self, holding: Holding) -> Iterator[Write]:
        held = (w for w in self.writes[holding.pass_id] if holding.first < w.number <= holding.last)
        return (write for write in held if write.valid and not write.deleted)

    def _due_number(self, holding: Holding) -> bool:
        """Return true if the newest write is due on a phone and not shown."""
        newest = max((number for number, _ in holding.shown), default=0)
        return any(write.number > newest for write in self._due(holding))

    def _is_behind(self, holding: Holding) -> bool:
        newest = self.expects(holding.pass_id)
        if newest is None or newest.deleted or not newest.valid:
            return self._due_number(holding)
        number, revision = holding.shown[-1] if holding.shown else (0, 0)
        return number != newest.number or revision < self.revision


def gate_of(number: int) -> str:
    """The content of the field by which a write is recognized."""
    return f"G{number}"


def version_of(content: dict[str, Any]) -> tuple[int, int]:
    """Read the number of the write and the template's revision from a pass.json."""
    (field_,) = (each for each in content["boardingPass"]["headerFields"] if each["key"] == "gate")
    return int(str(field_["value"])[1:]), int(content["description"].rpartition(" ")[2])
