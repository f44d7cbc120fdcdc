"""Schedules a recheck of a pass after a download that the service failed to answer.

The device has already stored the new tag, so it would not learn of the change again. The recheck pushes to the pass's
devices once the pass can be built.

Only requests with a valid authentication token or link count, so that a stranger cannot cause pushes. Failures are
coalesced: a recheck waits in the queue, and no other is requested until it is due.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from chalicelib.aws.tables import Store
from chalicelib.core.errors import RefusedError, loggable
from chalicelib.core.identifiers import PassId
from chalicelib.telemetry import log
from chalicelib.updates.protocol import WINDOW_SLACK_SECONDS, RecheckRequest, Refusal, VersionState

if TYPE_CHECKING:
    from chalicelib.aws.queue import Queue
    from chalicelib.passes.builder import PassBuilder
    from chalicelib.passes.item import PassItem

DELAY_SECONDS = 60
"""Delay of a recheck, so that a burst of failed downloads leads to one recheck."""
MAX_REMEMBERED = 4096
"""Limit for the recheck requests that an execution environment remembers."""


class FailedDownloads:
    """Handles failed downloads. An instance lives as long as its execution environment.

    Args:
        store: refusals and recheck requests are recorded there if DynamoDB answers.
        queue: returns the push queue; called at the first failure, since successful downloads need no queue.
        builder: a refused item is validated again with its templates and images.
        clock: epoch seconds.
        delay_seconds: delay of a recheck in the queue, at most 900.
    """

    def __init__(
        self,
        store: Store,
        queue: "Callable[[], Queue]",
        builder: "PassBuilder",
        *,
        clock: Callable[[], float],
        delay_seconds: int = DELAY_SECONDS,
    ) -> None:
        self._store = store
        self._queue = queue
        self._builder = builder
        self._clock = clock
        self._delay_seconds = delay_seconds
        self._requests: OrderedDict[PassId, RecheckRequest] = OrderedDict()

    def note(
        self, pass_id: PassId, error: Exception, *, state: VersionState | None, item: "PassItem | None" = None
    ) -> None:
        """Request a recheck of the pass, or record why its item is refused. It raises no errors of its own.

        Args:
            pass_id: of the requested pass; the caller is authorized for it.
            error: the reason why the download failed.
            state: of the pass, as read for this request; None if it could not be read.
            item: of the pass; None if it was not parsed.
        """
        try:
            if isinstance(error, RefusedError):
                self._refuse(pass_id, error, state=state, item=item)
            else:
                self._request(pass_id, state)
        except Exception as failure:  # noqa: BLE001 - the caller must get the error of the download itself
            log.event("recheck_not_requested", pass_id=pass_id, error=loggable(failure))

    def _refuse(
        self, pass_id: PassId, error: RefusedError, *, state: VersionState | None, item: "PassItem | None"
    ) -> None:
        """Record that the item cannot become a pass, as the stream handler does, and recheck it if its template was
        repaired in the meantime.
        """
        refusal = Refusal(str(error), item.template if item is not None else "", int(self._clock()))
        known = state.refusal if state is not None else None
        if known is not None and (known.reason, known.template) == (refusal.reason, refusal.template):
            return
        self._store.versions.record_refusal(pass_id, refusal, changes=0)
        log.event("pass_item_refused", pass_id=pass_id, error=str(error))
        if item is None:
            return
        from chalicelib.passes.rendering import validate_rendering

        try:
            validate_rendering(self._builder.templates.get(item.template, max_age_seconds=0.0), item)
            if item.images and self._builder.images is not None:
                self._builder.images.validate_exist(item.images.values())
        except RefusedError:
            return
        except Exception as later:  # noqa: BLE001 - the recheck will find the cause
            log.event("pass_not_validated", pass_id=pass_id, error=loggable(later))
        self._request(pass_id, state)

    def _request(self, pass_id: PassId, state: VersionState | None) -> None:
        now = self._clock()
        if self._is_pending(pass_id, state, now):
            return
        from chalicelib.updates.push_tasks import Recheck, RecheckReason

        version = state.version if state is not None else None
        request = RecheckRequest(int(now), version.modified_at if version is not None else 0)
        task = Recheck(pass_id, RecheckReason.DOWNLOAD, now, log.request_id())
        self._queue().send([task], delay_seconds=self._delay_seconds)
        log.event("recheck_requested", pass_id=pass_id, reason=task.reason.value)
        self._requests[pass_id] = request
        self._requests.move_to_end(pass_id)
        if len(self._requests) > MAX_REMEMBERED:
            self._requests.popitem(last=False)
        if state is not None:
            self._store.versions.request_recheck(pass_id, request)

    def _is_pending(self, pass_id: PassId, state: VersionState | None, now: float) -> bool:
        """Return True if an earlier request's recheck is certainly still due: its message is still delayed, or the pass
        was not stamped since.
        """
        known = (self._requests.get(pass_id), state.recheck_request if state is not None else None)
        for request in known:
            if request is None:
                continue
            if 0 <= now - request.requested_at < self._delay_seconds - WINDOW_SLACK_SECONDS:
                return True
            if state is not None and request.is_pending(state.version, now=now):
                return True
        return False
