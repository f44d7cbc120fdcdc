"""Keeps versions that were just read, and signed passes, as `updates/recent.py` allows it."""

from collections import OrderedDict

from chalicelib.aws.clocks import Clocks, Moment
from chalicelib.core.identifiers import PassId
from chalicelib.updates.protocol import Version
from chalicelib.updates.recent import CACHE_SECONDS, MAX_PASSES, RecentPass, RecentVersion, can_be_kept


class RecentVersions:
    """The recent versions of one execution environment.

    Args:
        clocks: both clocks of the machine.
    """

    def __init__(self, clocks: Clocks | None = None) -> None:
        self._clocks = clocks or Clocks()
        self._kept: OrderedDict[PassId, tuple[Moment, RecentVersion]] = OrderedDict()

    def now(self) -> Moment:
        """Return the time, to be noted before a version is read."""
        return self._clocks.now()

    def get(self, pass_id: PassId) -> RecentVersion | None:
        """Return the version that was read less than `CACHE_SECONDS` ago; None without one."""
        read_at, recent = self._kept.get(pass_id, (None, None))
        return recent if read_at is not None and self._clocks.seconds_since(read_at) < CACHE_SECONDS else None

    def keep(
        self, pass_id: PassId, version: Version | None, *, read_at: Moment, signed: RecentPass | None = None
    ) -> None:
        """Keep a version, if that is allowed.

        Args:
            pass_id: of the pass.
            version: that was read; None without one.
            read_at: the time before it was read.
            signed: the pass, of which the item was read and signed after the version; None if it was not.
        """
        if version is None or not can_be_kept(version):
            return
        wall_clock, _ = read_at
        self._kept[pass_id] = (read_at, RecentVersion(version, wall_clock, signed))
        self._kept.move_to_end(pass_id)
        if len(self._kept) > MAX_PASSES:
            self._kept.popitem(last=False)
