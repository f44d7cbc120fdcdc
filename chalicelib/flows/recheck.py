"""A pass is looked at again: its newest item is read, and once the pass can be made, it is stamped and its devices are
pushed to.

This is how everything comes back that could not be settled when it happened: a stream record that could not be
handled, an item that was refused until its template was repaired, a download that failed on our side. The order of
writing and reading is the one that `updates/protocol.py` demands.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.core.errors import PasswireError, RefusedError, TransientError
from chalicelib.core.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken, PassId
from chalicelib.flows.stamp import stamp
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.changes import RefusedRecord
from chalicelib.updates.protocol import DEFAULT_DELETION_GRACE_SECONDS, RecheckStamp, Refusal, Version, VersionState
from chalicelib.updates.push_tasks import FanOut, Recheck, RecheckReason, RemoveRegistrations

TEMPLATE_AGE_SECONDS = 5.0
"""How old the template may be that a pass is made from at first; after a write it is read again."""
MAX_LOOKS = 10
"""How often an item is read that changes all the time between two looks."""
_PLACEHOLDER_TOKEN = AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH)


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no item."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The item cannot become a pass."""

    error: RefusedError
    template: str


@dataclass(frozen=True, slots=True)
class Good:
    """The pass can be made."""


Found = Gone | Refused | Good


@dataclass(frozen=True, slots=True)
class Rechecker:
    """What looks at passes again.

    Args:
        builder: makes passes; what it raises says whether a pass can be made.
        clock: epoch seconds.
        max_stamp_seconds: how long a stamp may be under way, which the window W of the update protocol rests on: the
            push function's timeout.
        deletion_grace_seconds: how long the registrations of a pass are kept that turns out to be deleted.
    """

    store: Store
    queue: Queue
    metrics: Metrics
    builder: PassBuilder
    clock: Callable[[], float]
    max_stamp_seconds: float
    deletion_grace_seconds: int = DEFAULT_DELETION_GRACE_SECONDS

    def recheck(self, task: Recheck, *, message_id: str, deadline: float) -> bool:
        """Carry out one recheck; of several for one pass, some find that it is unnecessary.

        Args:
            task: what is asked for.
            message_id: of the message that brought it. A message that comes again after its stamp was set, since its
                function ended there, goes on from that stamp.
            deadline: monotonic seconds by which it must end.

        Returns:
            Whether the pass was looked at; False where that was unnecessary.

        Raises:
            ConfigurationError, TransientError: the pass cannot be made at the moment; the message must come again.
        """
        state = self.store.versions.state(task.pass_id)
        stamped = state.recheck_stamp is not None and state.recheck_stamp.message_id == message_id
        if not stamped and not _is_needed(task, state, now=self.clock()):
            self._count("unnecessary")
            log.event("recheck_unnecessary", pass_id=task.pass_id, reason=task.reason.value, changes=task.change)
            return False
        found, version = self._settle(task, state, message_id=message_id, stamped=stamped, deadline=deadline)
        announced = version.announced if version is not None else None
        match found:
            case Good():
                change = task.change or log.request_id()
                self.queue.send([FanOut(task.pass_id, None, task.at, change, announced)], until=deadline)
                self._count("stamped")
            case Gone():
                grace = self.deletion_grace_seconds
                remove_device = RemoveRegistrations(task.pass_id, announced, not_before=self.clock() + grace)
                self.queue.send([remove_device], delay_seconds=grace, until=deadline)
                self._count("gone")
            case Refused():
                self._count("refused")
                self._keep(task.pass_id, found)
        return True

    def _settle(
        self, task: Recheck, state: VersionState, *, message_id: str, stamped: bool, deadline: float
    ) -> tuple[Found, Version | None]:
        """Read the item, write what it has come to, and read it again, until both agree.

        Returns:
            What it has come to, and the version of the last stamp; None where the pass was never stamped.
        """
        version = state.version
        gone = version is not None and version.deleted
        written: Found | None = Good() if stamped and not gone else None
        for _ in range(MAX_LOOKS):
            found = self._look(task, template_age_seconds=0.0 if written else TEMPLATE_AGE_SECONDS)
            if type(found) is type(written) or (gone and written is None and isinstance(found, Gone)):
                return found, version
            match found:
                case Refused():
                    changes = 1 if task.reason is RecheckReason.UNSETTLED and written is None else 0
                    refusal = Refusal(str(found.error), found.template, int(self.clock()))
                    self.store.versions.record_refusal(task.pass_id, refusal, changes=changes)
                case Gone() | Good():
                    # A pass that was never stamped may have been downloaded in an earlier form: it counts as changed.
                    changes = 1 if state.version is not None else 2
                    deleted = isinstance(found, Gone)
                    version = self._stamp(
                        task, message_id=message_id, changes=changes, deleted=deleted, deadline=deadline
                    )
            written = found
        raise TransientError(f"pass {task.pass_id}: its item keeps changing while it is looked at again")

    def _look(self, task: Recheck, *, template_age_seconds: float) -> Found:
        """What the item has come to now. After a failed download it need only be possible to make the pass, since the
        download asks no more; else the item is held to Apple's format, as by the stream.
        """
        attributes = self.store.passes.content(task.pass_id)
        if attributes is None:
            return Gone()
        template = ""
        try:
            item = PassItem.parse(attributes)
            template = item.template
            self.builder.build(
                item,
                personalized=False,
                authentication_token=_PLACEHOLDER_TOKEN,
                web_service_url="",
                at=datetime.fromtimestamp(self.clock(), UTC),
                template_age_seconds=template_age_seconds,
                strict=task.reason is not RecheckReason.DOWNLOAD,
            )
        except RefusedError as error:
            return Refused(error, template)
        return Good()

    def _stamp(self, task: Recheck, *, message_id: str, changes: int, deleted: bool, deadline: float) -> Version:
        """Stamp, and stamp again where it took longer than a stamp may be under way: a tag that was handed out in the
        meantime may be later than the first.
        """
        while True:
            now = self.clock()
            recheck = RecheckStamp(message_id, int(now))
            version = stamp(self.store, task.pass_id, now=now, changes=changes, deleted=deleted, recheck=recheck)
            log.event(
                "stamped",
                pass_id=task.pass_id,
                modified_at=version.modified_at,
                revision=version.revision,
                deleted=version.deleted,
                written_at=task.at,
                reason=task.reason.value,
                changes=task.change,
            )
            if self.clock() - now <= self.max_stamp_seconds:
                return version
            if time.monotonic() >= deadline:
                raise TransientError(f"pass {task.pass_id}: its stamp took too long")

    def _keep(self, pass_id: PassId, refused: Refused) -> None:
        """Put the refusal where a person looks; it is on record, so a failure of this is only logged."""
        log.event("pass_item_refused", pass_id=pass_id, error=str(refused.error))
        record = RefusedRecord(str(pass_id), "", refused.error, pass_id, refused.template)
        try:
            self.queue.send_refusals([record], at=self.clock())
        except PasswireError as error:
            log.event("refusal_not_kept", items=1, error=str(error))

    def _count(self, outcome: str) -> None:
        self.metrics.count("RecheckedPasses", 1, outcome=outcome)


def _is_needed(task: Recheck, state: VersionState, *, now: float) -> bool:
    match task.reason:
        case RecheckReason.REFUSED:
            return state.refusal is not None
        case RecheckReason.DOWNLOAD:
            return state.recheck_stamp is None or not state.recheck_stamp.covers(task.at, now=now)
    return True
