"""A download failed on our side: the phone has taken the new tag and would not be told again, so its pass is looked at
again, and its devices are pushed to once it can be made.

Only for requests whose authentication token or link is valid: a stranger must not be able to cause pushes. What can be
coalesced is: a recheck waits in the queue for a while, and until then no other is asked for.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from chalicelib.aws.tables import Store
from chalicelib.core.errors import RefusedError, loggable
from chalicelib.core.identifiers import PassId
from chalicelib.telemetry import log
from chalicelib.updates.protocol import WINDOW_SLACK_SECONDS, RecheckRequest, Refusal, VersionState
from chalicelib.updates.push_tasks import Recheck, RecheckReason

if TYPE_CHECKING:
    from chalicelib.aws.queue import Queue
    from chalicelib.passes.builder import PassBuilder
    from chalicelib.passes.item import PassItem

DELAY_SECONDS = 60
"""How long a recheck waits, so that a burst of failed downloads leads to one."""
MAX_REMEMBERED = 4096
"""Passes of which an execution environment remembers that it asked."""


class FailedDownloads:
    """What follows a failed download. One lives as long as its execution environment.

    Args:
        store: where refusals and requests are noted, where DynamoDB answers.
        queue: where rechecks wait; opened at the first failure, since a download that is served needs none.
        builder: whose templates and images a refused item is tried with once more.
        clock: epoch seconds.
        delay_seconds: how long a recheck waits in the queue, at most 900.
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
        self._press = builder
        self._clock = clock
        self._delay_seconds = delay_seconds
        self._requests: OrderedDict[PassId, RecheckRequest] = OrderedDict()

    def note(
        self, pass_id: PassId, error: Exception, *, state: VersionState | None, item: "PassItem | None" = None
    ) -> None:
        """Have the pass looked at again. It raises nothing: the request fails with the error that it has.

        Args:
            pass_id: what was asked for, by somebody who may have it.
            error: why it was not served.
            state: of the pass, as it was read for this request; None where it could not be read.
            item: as it was parsed; None where it was not.
        """
        try:
            if isinstance(error, RefusedError):
                self._refuse(pass_id, error, state=state, item=item)
            else:
                self._request(pass_id, state)
        except Exception as failure:  # noqa: BLE001 - the answer must be the failure of the download itself
            log.event("recheck_not_requested", pass_id=pass_id, error=loggable(failure))

    def _refuse(
        self, pass_id: PassId, error: RefusedError, *, state: VersionState | None, item: "PassItem | None"
    ) -> None:
        """The item cannot become a pass: record it as the stream would, then look whether it still is so."""
        refusal = Refusal(str(error), item.template if item is not None else "", int(self._clock()))
        known = state.refusal if state is not None else None
        if known is not None and (known.reason, known.template) == (refusal.reason, refusal.template):
            return
        self._store.versions.send_refusals(pass_id, refusal, changes=0)
        log.event("pass_item_refused", pass_id=pass_id, error=str(error))
        if item is None:
            return
        from chalicelib.passes.rendering import prove_rendering

        try:
            prove_rendering(self._press.templates.get(item.template, max_age_seconds=0.0), item)
            if item.images and self._press.images is not None:
                self._press.images.require(item.images.values())
        except RefusedError:
            return
        except Exception as later:  # noqa: BLE001 - whatever it is, the recheck finds out
            log.event("pass_not_validated", pass_id=pass_id, error=loggable(later))
        self._request(pass_id, state)

    def _request(self, pass_id: PassId, state: VersionState | None) -> None:
        now = self._clock()
        if self._is_pending(pass_id, state, now):
            return
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
        """Whether a recheck that was asked for is certainly still to come: its message is not out of its delay yet, or
        nothing was stamped since.
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
