"""The update protocol: the rules of stamps and tags, which decide what a device is notified of and what it downloads.

Everything that decides whether an update is lost is in this module, or is called from `flows/` in the order that this
page requires.

Theory of operation
-------------------
A *version* is this service's record of a pass: `modified_at` (whole seconds, strictly increasing) and `revision` (the
number of content changes). The push function sets it, never a pipeline, and it is stored in a separate table. Setting
it is called a *stamp*.

The stamp. `modified_at` becomes `now` if that is greater than the stored value, else the stored value plus one. Two
changes within one second still get two values, so `If-Modified-Since` cannot hide the second. A stamp is two
conditional updates without a read: `modified_at < now -> now`, and if the condition fails, `modified_at + 1`.

Order at a change:        stamp the version       ->  read the registrations  ->  push.
Order at a registration:  write the registration  ->  read the version        ->  request a push if it has changed.
Each side writes its own record before it reads the other's. So if the two race, at least one sees the other.

The tag that a device gets from a list call is a time before which no further stamp can be committed: `as_of - W`.
`as_of` is read from the clock before the call's first read, and W is longer than a stamp can take (the timeout of the
push function, plus slack for clocks that differ). A list call returns each pass with
`max(modified_at, registered_at) > tag`. `registered_at` counts because a device has one tag for a whole pass type: if a
pass changed before it was registered, on a device whose tag is later than the change, no list call would return it
otherwise.

A tag is used only if this service can have issued it. A tag later than `as_of - W` plus the slack for clocks is treated
as a missing one, so the call returns every pass: used as it is, it would hide every change until that time from the
device. Digits in a form that this service does not write (leading zeros, too many digits) also return every pass.

The price: a pass that changed within the last W seconds may be returned twice. The second download is answered with
304.

Deletions. The version of a deleted pass is kept and marked as deleted, so that list calls leave the pass out, and so
that a pass that is created again under the same id gets a later stamp. Its registrations are kept for a grace period
(the setting DeletionGraceMinutes, at least 15 minutes): many nightly jobs delete all items and load them again, and a
phone does not register again by itself. A pass that exists again when the period ends keeps its phones, and its return
is a change of which they are notified. While it is deleted, its downloads, registrations and unregistrations are
refused with 401, since they are authenticated against the item. A registration that was accepted while the pass was
being deleted is kept for the same period: it is written within seconds, and registrations are read for removal at the
end of the period. Each deletion has its own period, identified by its stamp. So if a pass is deleted twice, the end of
the first period removes nothing.

Refusals. A changed item that cannot become a pass is not stamped, because no device could download the pass. The
refusal is recorded beside the version instead, and the next stamp of a stream record or of a recheck removes it. A
stamp that announces no change (a personalization) did not check the item, and keeps the refusal. While it is recorded,
the next write of the item counts as a change even if the content is the same, and a repair of the template leads to
a recheck of the pass.
Here a refusal and a repair may race, and again each side writes first and then reads the other's record:
at a refusal:  record the refusal    ->  read the current template   ->  recheck the pass if the template has changed;
at a repair:   publish the template  ->  read the refused passes     ->  recheck each of them.
A refusal announces no change and does not mark its record as stamped. If the same record is delivered again after the
refusal was recorded, and the item is valid by then, it gets a new stamp.

Rechecks. A recheck reads the newest item, regardless of the order of the stream. So it also writes (a stamp, a refusal,
a deletion) and then reads the item once more: if the stream recorded a refusal or deletion in between, which the stamp
of the recheck has overwritten, the recheck sees it and records it again. The function of a recheck may run for longer
than W, so a stamp that took longer than the push function's timeout is not relied on, and the recheck sets another. The
stamp of a recheck is announced like that of a stream record: its fan-out, or the end of the grace period of a deletion
that it found, carries it.

Failed downloads. A device that was notified of a change stores the new tag before it downloads. If the download then
fails in this service, no list call would return the pass again. So a failed download leads to a recheck: as soon as the
pass can be built, a new stamp makes list calls return it again, and its devices are notified.
"""

from dataclasses import dataclass
from typing import Self

WINDOW_SLACK_SECONDS = 5
"""Maximum difference of two Lambda clocks, plus the time that a request in transit may still take to be executed."""
RECHECK_REQUEST_SECONDS = 900
"""Time in which a requested recheck is expected to run: the longest delay that the push worker gives a message."""
DEFAULT_DELETION_GRACE_SECONDS = 900
"""Time for which the registrations of a deleted pass are kept by default."""
MAX_TAG_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Version:
    """Record of a pass's changes.

    Args:
        modified_at: epoch seconds, strictly increasing with every stamp; the pass's `Last-Modified`.
        revision: number of content changes that were stamped; 1 for a pass as it was first issued.
        deleted: whether the pass item is deleted.
        announced: the last stamp of which devices are notified (`updates/fan_outs.py`); 0 for none.
        last_record: identity of the last stream record that was stamped; empty for none.
        fanned_out: whether a fan-out was ever begun for the pass, which is then widely held (`updates/recent.py`).
    """

    modified_at: int
    revision: int
    deleted: bool = False
    announced: int = 0
    last_record: str = ""
    fanned_out: bool = False

    @classmethod
    def before_any_stamp(cls, as_of: float, *, window_seconds: int) -> Self:
        """Return the version of a pass whose first stamp is not committed yet: earlier than that stamp can be.

        So the `Last-Modified` of a download never makes the stamped pass look unchanged. No stamp has revision 0.

        Args:
            as_of: epoch seconds of the request.
            window_seconds: W.
        """
        return cls(max(0, int(as_of) - window_seconds - 1), revision=0)

    @property
    def changed_since_issue(self) -> bool:
        """True if a device that downloaded the pass before it registered may have older content."""
        return self.revision > 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Record that the newest item of a pass is invalid, kept beside the version until a stamp removes it.

    Args:
        reason: the message of the error, limited in length.
        template: name of the item's template; empty if the item has none.
        refused_at: epoch seconds.
    """

    reason: str
    template: str
    refused_at: int


@dataclass(frozen=True, slots=True)
class RecheckRequest:
    """Record that a failed download has requested a recheck, so that further ones do not request another.

    Args:
        requested_at: epoch seconds.
        modified_at: the version's `modified_at` at that time; 0 before the first stamp.
    """

    requested_at: int
    modified_at: int

    def is_pending(self, version: Version | None, *, now: float) -> bool:
        """Tell whether the recheck is still expected: no stamp was set since, within `RECHECK_REQUEST_SECONDS`."""
        same_version = self.modified_at == (version.modified_at if version is not None else 0)
        return same_version and 0 <= now - self.requested_at < RECHECK_REQUEST_SECONDS


@dataclass(frozen=True, slots=True)
class RecheckStamp:
    """Record of the last stamp that a recheck set.

    Args:
        message_id: id of the message in the push queue that requested the recheck.
        stamped_at: epoch seconds by the clock of the function that set the stamp; `modified_at` may be later.
    """

    message_id: str
    stamped_at: int

    def covers(self, failed_at: float, *, now: float) -> bool:
        """Tell whether the stamp is certainly later than a download that failed at `failed_at` (epoch seconds)."""
        return failed_at + WINDOW_SLACK_SECONDS <= self.stamped_at <= now


@dataclass(frozen=True, slots=True)
class VersionState:
    """Everything that is stored about a pass besides its item.

    Args:
        version: None before the first stamp.
        refusal: None if the newest item that was checked is valid.
        recheck_request: request of the last failed download for a recheck; None if there was none.
        recheck_stamp: stamp of the last recheck; None if there was none.
        personalized: whether a person has signed up with the pass.
    """

    version: Version | None = None
    refusal: Refusal | None = None
    recheck_request: RecheckRequest | None = None
    recheck_stamp: RecheckStamp | None = None
    personalized: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """The `lastUpdated` of a list call, opaque to devices: they know of every change up to this second."""

    seconds: int

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """Read `passesUpdatedSince`; None if it is missing or not in a tag's form, so that every pass is listed."""
        if text is None or not text.isascii() or not text.isdigit() or len(text) > MAX_TAG_DIGITS:
            return None
        tag = cls(int(text))
        return tag if str(tag) == text else None

    def can_be_issued(self, as_of: float, *, window_seconds: int) -> bool:
        """Tell whether a list call until `as_of` (epoch seconds by this machine's clock) can have issued this tag.

        The clock of the machine that issued it may have been ahead by `WINDOW_SLACK_SECONDS`.
        """
        return self.seconds <= Tag.at(as_of, window_seconds=window_seconds).seconds + WINDOW_SLACK_SECONDS

    @classmethod
    def at(cls, as_of: float, *, window_seconds: int) -> Self:
        """Return the tag of a list call that began to read at `as_of` (epoch seconds) or later."""
        return cls(max(0, int(as_of) - window_seconds))

    def __str__(self) -> str:
        return str(self.seconds)


@dataclass(frozen=True, slots=True)
class HeldPass:
    """A pass with its registration by one device.

    Args:
        version: None if the pass was never stamped, because its first stream record is still being processed.
        registered_at: epoch seconds of the last registration; None if the registration is being removed.
    """

    version: Version | None
    registered_at: int | None

    def is_changed_since(self, tag: Tag | None) -> bool:
        """Tell whether a list call with this tag returns the pass. A deleted or unregistered pass is never returned."""
        if self.registered_at is None or (self.version is not None and self.version.deleted):
            return False
        if tag is None:
            return True
        modified_at = self.version.modified_at if self.version is not None else 0
        return max(modified_at, self.registered_at) > tag.seconds


def window_seconds(*, push_timeout_seconds: int) -> int:
    """Return W, the seconds by which a tag is earlier than the clock."""
    return push_timeout_seconds + WINDOW_SLACK_SECONDS
