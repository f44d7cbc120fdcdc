"""The update protocol: what is stamped, what a tag means, what a device must be told. Everything that decides whether
an update is lost lives here or is called from `flows/` in the order that this page demands.

Theory of operation
-------------------
A *version* is our own record of a pass: `modified_at` (whole seconds, strictly increasing) and `revision` (how often
its content has changed). It is stamped by the push Lambda, never by a pipeline, and lives in a table of its own.

The stamp. `modified_at` becomes `now` where that is greater than what is there, else one more than what is there. Two
changes within one second still get two values, so `If-Modified-Since` cannot hide the second. It takes two conditional
updates and no read: `modified_at < now -> now`, and where that is refused `modified_at + 1`.

The order at a change:        stamp the version   ->  read who is registered  ->  push.
The order at a registration:  write the registration  ->  read the version    ->  ask for a push if it has changed.
Each writes its own before it reads the other's, so of two that race, at least one sees the other.

The tag that a device gets from a list call is a point in time before which nothing can still come: `as_of - W`, where
`as_of` is taken before the call's first read and `W` is longer than a stamp can be under way (the longest life of one
push invocation, plus slack for clocks that disagree). A list call names each pass with
`max(modified_at, registered_at) > tag`. `registered_at` counts because a device's tag belongs to the pass type: a pass
that changed before it was registered, on a device whose tag is later than that change, would never be named otherwise.

A tag counts only if this service can have handed it out. One that is later than `as_of - W`, plus what clocks may
disagree by, lists every pass, as a missing tag does: taken at its word, it would hide every change until that time from
the device that sent it. Digits in a form that no tag has (leading zeros, too many of them) list every pass too.

The price: a pass that changed within the last W seconds may be named twice. The second download answers 304.

A deleted pass keeps its version, marked, so that list calls leave it out and a pass that comes back under the same name
gets a later stamp. Its registrations stay for a grace period (the setting DeletionGraceMinutes, at least 15 minutes):
"delete and reload" is how many nightly jobs work, and a phone does not register again by itself. A pass that is back
when the period ends keeps its phones, and its return is a change that they are told of. While it is gone, downloads,
registrations and unregistrations of it are refused with 401, since the item is what they are checked against. A
registration that was accepted while the pass was being deleted stays for the same period: it is written within
seconds, and what removes registrations reads them at the end of the period. Each deletion has its own period, known by
its stamp, so the end of an earlier one removes nothing of a pass that was deleted twice.

Refusals. A changed item that cannot become a pass is not stamped, since no device could download it. Instead the
refusal is recorded beside the version, and the next stamp of a stream record or of a recheck removes it. A stamp that
announces nothing (a personalization) has not looked at the item, and leaves it. While it is on record, the next write
of the item counts as a change even with the same content, and whoever repairs the template has the pass looked at again
(a recheck).
The two that race are the refusal and the repair, so each writes its own and then reads the other's:
at a refusal:  record it            ->  read the template as it is now  ->  look again where it has changed;
at a repair:   publish the template ->  read which passes are refused   ->  have each looked at again.
A refusal announces nothing and is no stamp of its record: a record that is handed out again after a refusal was
recorded, and whose item fits by then, is stamped anew.

Rechecks. A recheck reads the newest item, out of the stream's order. So it, too, writes (a stamp, a refusal, a
deletion) and then reads the item once more: a refusal or deletion that the stream recorded in between, and that this
stamp has wiped, is seen and recorded again. Its function may run for longer than W, so a stamp that took longer than
the push function may is not relied on, and another is set. A recheck's stamp is announced like one of the stream: its
fan-out, or the end of the grace period of a deletion that it found, carries it.

Failed downloads. A device that was told of a change takes the new tag before it downloads. Where we then fail to serve
the download, nothing would tell it again. So a failed download leads to a recheck: once the pass can be made, a new
stamp makes list calls name it again, and its devices are pushed to.
"""

from dataclasses import dataclass
from typing import Self

WINDOW_SLACK_SECONDS = 5
"""What clocks of two Lambdas may disagree by, and what a request that was sent may still take to be carried out."""
RECHECK_REQUEST_SECONDS = 900
"""How long a recheck that was asked for is relied on: the longest that the worker lets a message wait."""
DEFAULT_DELETION_GRACE_SECONDS = 900
"""How long the registrations of a deleted pass are kept, unless the stage says otherwise."""
MAX_TAG_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Version:
    """What is known of a pass's changes.

    Args:
        modified_at: epoch seconds, strictly increasing with every stamp; the pass's `Last-Modified`.
        revision: how many content changes were stamped; 1 means: as first issued.
        deleted: the pass item is gone.
        announced: the last stamp whose devices are told (`domain/fan_outs.py`); 0 for none.
        last_record: the last record of the stream that it was stamped for; empty for none.
    """

    modified_at: int
    revision: int
    deleted: bool = False
    announced: int = 0
    last_record: str = ""

    @classmethod
    def before_any_stamp(cls, as_of: float, *, window_seconds: int) -> Self:
        """What a pass is served as while its first stamp is under way: earlier than that stamp can turn out to be.

        So its `Last-Modified` never makes the stamped pass look unchanged, and its revision is none that is stamped.
        """
        return cls(max(0, int(as_of) - window_seconds - 1), revision=0)

    @property
    def changed_since_issue(self) -> bool:
        """Whether a device that downloaded the pass before it registered may hold older content."""
        return self.revision > 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the newest item of a pass cannot become a pass, kept beside the version until a stamp removes it.

    Args:
        reason: the error, limited in length.
        template: the name of the template that the item names; empty where it names none.
        refused_at: epoch seconds.
    """

    reason: str
    template: str
    refused_at: int


@dataclass(frozen=True, slots=True)
class RecheckRequest:
    """That a failed download has asked for a recheck, so that the next ones do not ask again.

    Args:
        requested_at: epoch seconds.
        modified_at: of the version at that time; 0 before the first stamp.
    """

    requested_at: int
    modified_at: int

    def is_pending(self, version: Version | None, *, now: float) -> bool:
        """Whether that recheck is still to come: nothing was stamped since, and it was not too long ago to rely on."""
        same_version = self.modified_at == (version.modified_at if version is not None else 0)
        return same_version and 0 <= now - self.requested_at < RECHECK_REQUEST_SECONDS


@dataclass(frozen=True, slots=True)
class RecheckStamp:
    """The last stamp that a recheck set.

    Args:
        message_id: of the message in the push queue that asked for the recheck.
        stamped_at: epoch seconds, by the clock of the function that stamped; `modified_at` may be ahead of that.
    """

    message_id: str
    stamped_at: int

    def covers(self, failed_at: float, *, now: float) -> bool:
        """Whether a device that failed to download at `failed_at` has been told by it, whatever clocks disagree by."""
        return failed_at + WINDOW_SLACK_SECONDS <= self.stamped_at <= now


@dataclass(frozen=True, slots=True)
class VersionState:
    """All that is kept of a pass beside its item.

    Args:
        version: None before the first stamp.
        refusal: None where the newest item that was looked at can become a pass.
        recheck_request: of the last failed download that asked for a recheck.
        recheck_stamp: of the last recheck.
        personalized: whether a person has signed up with the pass.
    """

    version: Version | None = None
    refusal: Refusal | None = None
    recheck_request: RecheckRequest | None = None
    recheck_stamp: RecheckStamp | None = None
    personalized: bool = False


@dataclass(frozen=True, slots=True)
class Tag:
    """The `lastUpdated` of a list call, opaque to devices: everything up to this second has been named to them."""

    seconds: int

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """Read `passesUpdatedSince`; None for what is missing or not written as a tag is, which lists every pass."""
        if text is None or not text.isascii() or not text.isdigit() or len(text) > MAX_TAG_DIGITS:
            return None
        tag = cls(int(text))
        return tag if str(tag) == text else None

    def can_be_ours(self, as_of: float, *, window_seconds: int) -> bool:
        """Whether a list call at or before `as_of` (epoch seconds, this machine's clock) can have handed this tag out.

        The clock of the machine that did may have been ahead of this one's by `WINDOW_SLACK_SECONDS`.
        """
        return self.seconds <= Tag.at(as_of, window_seconds=window_seconds).seconds + WINDOW_SLACK_SECONDS

    @classmethod
    def at(cls, as_of: float, *, window_seconds: int) -> Self:
        """The tag to hand out for a list call whose reads all came after `as_of` (epoch seconds)."""
        return cls(max(0, int(as_of) - window_seconds))

    def __str__(self) -> str:
        return str(self.seconds)


@dataclass(frozen=True, slots=True)
class HeldPass:
    """A pass as seen from one device that holds it.

    Args:
        version: None where the pass was never stamped: its first stream record is still under way.
        registered_at: epoch seconds of the last registration call; None where the registration is just going away.
    """

    version: Version | None
    registered_at: int | None

    def is_changed_since(self, tag: Tag | None) -> bool:
        """Whether a list call with this tag names the pass. One that is gone, or no longer held, never is."""
        if self.registered_at is None or (self.version is not None and self.version.deleted):
            return False
        if tag is None:
            return True
        modified_at = self.version.modified_at if self.version is not None else 0
        return max(modified_at, self.registered_at) > tag.seconds


def window_seconds(*, push_timeout_seconds: int) -> int:
    """W: how far a tag stays behind the clock."""
    return push_timeout_seconds + WINDOW_SLACK_SECONDS
