"""Rules by which each fan-out is executed once: which of several messages continues it, and from which device.

Theory of operation
-------------------
A *fan-out* pages through the devices that have a pass and requests a push to each. Several messages may request the
same fan-out: SQS delivers a message more than once, a sender repeats a request whose response was lost, the push
function repeats a batch that it did not complete. And the next change of the same pass starts another fan-out.

*Announced stamp.* The push function stamps a pass and then ensures that all devices that have the pass are notified.
The stamp is stored as `announced` on the version row. Other stamps (personalization) announce no change and keep it. So
a fan-out whose stamp is older than `announced` is superseded: the newer change notifies every device, and a second
notification would be useless. A crash between the stamp and its fan-out ends the invocation, and Lambda repeats the
batch until it succeeds or moves to the stream-failure queue, which raises an alarm. The repeated batch sees by
`last_record` that its last record is stamped already, and announces the same stamp again instead of a new one. So both
attempts request the same fan-out.

*Progress.* For the fan-out of the announced stamp, the version row stores where it began, how far it has come, and
which message continues it (the *holder*). It is written after each page, after the page's pushes are requested, and
only if no other message has written it. So a crash repeats one page at most, and never skips one.

A message with the same stamp, all of whose devices are covered by the stored progress (it does not begin earlier),
- continues from there if it is the holder, delivered again, or if there is no holder at the moment;
- ends if the fan-out is done;
- otherwise waits, and takes over from a holder without progress for `ABANDONED_SECONDS`. It never ends before the
  fan-out is done, because the holder may have failed permanently.
A message that begins earlier covers more devices, and replaces the stored progress.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

ABANDONED_SECONDS = 900
"""Longer than the timeout of the push worker, and than the time for which an unfinished message stays hidden."""


@dataclass(frozen=True, slots=True)
class FanOutProgress:
    """Progress of a fan-out.

    Args:
        modified_at: the stamp that the fan-out announces.
        start: identifier of the device after which it began, in the table's order; empty for the first device.
        reached: identifier of the last device to which a push is requested; empty for none.
        holder: id of the message that continues it; empty while it waits for the next message.
        at: epoch seconds of this progress.
        done: whether pushes to all devices are requested.
    """

    modified_at: int
    start: str
    reached: str
    holder: str
    at: int
    done: bool = False

    def encode(self) -> str:
        """Return the progress as the text of one attribute of the version row."""
        return json.dumps([self.modified_at, self.start, self.reached, self.holder, self.at, self.done])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text that `encode` returned."""
        return cls(*json.loads(text))


@dataclass(frozen=True, slots=True)
class FanOutState:
    """State of a pass's fan-outs, stored in the version row.

    Args:
        announced: the last stamp of which devices are notified; 0 for none.
        progress: progress of the last fan-out; None if there was none.
    """

    announced: int = 0
    progress: FanOutProgress | None = None


class Decline(Enum):
    """Reason why a message does not continue the fan-out."""

    END = auto()
    """The fan-out is done, or superseded by a newer change."""
    WAIT = auto()
    """Another message continues it; this one must be delivered again later."""


def claim(state: FanOutState, *, modified_at: int, after: str, holder: str, now: float) -> FanOutProgress | Decline:
    """Decide what a message that requests a fan-out does.

    Args:
        state: the state stored in the version row.
        modified_at: the stamp that the fan-out announces.
        after: identifier of the device after which it begins; empty for the first device.
        holder: id of the message.
        now: epoch seconds.

    Returns:
        The progress to write before the first page, to continue after `reached`; or the reason not to continue.
    """
    started = FanOutProgress(modified_at, after, after, holder, int(now))
    found = state.progress
    if state.announced > modified_at or (found is not None and found.modified_at > modified_at):
        return Decline.END
    if found is None or found.modified_at < modified_at or (after < found.start and found.holder != holder):
        return started
    if found.done:
        return Decline.END
    if found.holder in ("", holder) or now - found.at > ABANDONED_SECONDS:
        return replace(found, holder=holder, at=int(now))
    return Decline.WAIT
