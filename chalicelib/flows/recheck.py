"""Rechecks a pass: reads its newest item and, once the pass can be built, stamps it and pushes to its devices.

Rechecks settle what could not be settled before: a stream record that could not be handled, an item that was refused
until its template was repaired, a download that the service failed to answer. Writes and reads are in the order that
`updates/protocol.py` requires.
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
from chalicelib.updates.recent import PUSH_DELAY_SECONDS

TEMPLATE_AGE_SECONDS = 5.0
"""Maximum age of the template at the first attempt to build the pass; after a write it is read again."""
MAX_READS = 10
"""Reads of an item that keeps changing between two reads."""
_PLACEHOLDER_TOKEN = AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The item does not exist."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The item cannot become a pass."""

    error: RefusedError
    template: str


@dataclass(frozen=True, slots=True)
class Valid:
    """The pass can be built."""


Found = Deleted | Refused | Valid


@dataclass(frozen=True, slots=True)
class Rechecker:
    """Rechecks passes.

    Args:
        store: the tables.
        queue: the push queue and the dead letters.
        metrics: count rechecks by outcome.
        builder: builds passes, to find out if a pass can be built.
        clock: epoch seconds.
        max_stamp_seconds: longest duration of a stamp, which the window W of the update protocol is based on: the push
            function's timeout.
        deletion_grace_seconds: how long the registrations of a deleted pass are kept.
    """

    store: Store
    queue: Queue
    metrics: Metrics
    builder: PassBuilder
    clock: Callable[[], float]
    max_stamp_seconds: float
    deletion_grace_seconds: int = DEFAULT_DELETION_GRACE_SECONDS

    def recheck(self, task: Recheck, *, message_id: str, deadline: float) -> bool:
        """Carry out a recheck, unless an earlier one has made it unnecessary.

        Args:
            task: the recheck.
            message_id: of its message. A message that is delivered again after its stamp was set, because its
                invocation ended there, continues from that stamp.
            deadline: monotonic seconds by which it must end.

        Returns:
            True if the pass was read, False if that was unnecessary.

        Raises:
            ConfigurationError, TransientError: the pass cannot be built now; the message must be delivered again.
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
            case Valid():
                change = task.change or log.request_id()
                fan_out = FanOut(task.pass_id, None, task.at, change, announced)
                self.queue.send([fan_out], delay_seconds=PUSH_DELAY_SECONDS, until=deadline)
                self._count("stamped")
            case Deleted():
                grace = self.deletion_grace_seconds
                removal = RemoveRegistrations(task.pass_id, announced, not_before=self.clock() + grace)
                self.queue.send([removal], delay_seconds=grace, until=deadline)
                self._count("deleted")
            case Refused():
                self._count("refused")
                self._send_refusal(task.pass_id, found)
        return True

    def _settle(
        self, task: Recheck, state: VersionState, *, message_id: str, stamped: bool, deadline: float
    ) -> tuple[Found, Version | None]:
        """Read the item, write the result, and read it again, until both agree.

        Returns:
            The result, and the version of the last stamp; None if the pass was never stamped.
        """
        version = state.version
        gone = version is not None and version.deleted
        written: Found | None = Valid() if stamped and not gone else None
        for _ in range(MAX_READS):
            found = self._look(task, template_age_seconds=0.0 if written else TEMPLATE_AGE_SECONDS)
            if type(found) is type(written) or (gone and written is None and isinstance(found, Deleted)):
                return found, version
            match found:
                case Refused():
                    changes = 1 if task.reason is RecheckReason.UNSETTLED and written is None else 0
                    refusal = Refusal(str(found.error), found.template, int(self.clock()))
                    self.store.versions.record_refusal(task.pass_id, refusal, changes=changes)
                case Deleted() | Valid():
                    # A pass that was never stamped may have been downloaded in an earlier form: it counts as changed.
                    changes = 1 if state.version is not None else 2
                    deleted = isinstance(found, Deleted)
                    version = self._stamp(
                        task, message_id=message_id, changes=changes, deleted=deleted, deadline=deadline
                    )
            written = found
        raise TransientError(f"pass {task.pass_id}: its item keeps changing during the recheck")

    def _look(self, task: Recheck, *, template_age_seconds: float) -> Found:
        """Read the item and try to build the pass.

        After a failed download it is enough that the pass can be built, as for the download itself. Otherwise the item
        is also validated against Apple's format, as by the stream handler.
        """
        attributes = self.store.passes.content(task.pass_id)
        if attributes is None:
            return Deleted()
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
        return Valid()

    def _stamp(self, task: Recheck, *, message_id: str, changes: int, deleted: bool, deadline: float) -> Version:
        """Stamp the pass, again if that took longer than a stamp may take: a tag that was issued in the meantime may be
        later than the first stamp.
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

    def _send_refusal(self, pass_id: PassId, refused: Refused) -> None:
        """Send the refusal to the dead letter queue; it is recorded already, so a failure is only logged."""
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
