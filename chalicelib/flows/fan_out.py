"""Carries out fan-outs: pages through the devices that hold a pass, at the pace of their lane (`updates/pacing.py`)."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.registrations import RegistrationPage
from chalicelib.core.errors import TransientError
from chalicelib.core.identifiers import DeviceLibraryIdentifier
from chalicelib.flows.pace import Pacer
from chalicelib.telemetry import log
from chalicelib.updates.fan_outs import Decline, FanOutProgress, claim
from chalicelib.updates.pacing import HORIZON_SECONDS, KEPT_SECONDS, MAX_DEVICES_PER_SEND, NARROW_DEVICES, Lane, Stop
from chalicelib.updates.push_tasks import FanOut, NotifyDevices

RESERVE_SECONDS = 3.0
"""Time before the deadline in which no further page is read."""


@dataclass(frozen=True, slots=True)
class FanOutLimits:
    """Limits of a fan-out.

    Args:
        page: registrations that are read at once, unless the rate allows fewer per send; they make one push task.
        narrow_devices: number of devices of a pass up to which its fan-out is in the narrow lane.
    """

    page: int = MAX_DEVICES_PER_SEND
    narrow_devices: int = NARROW_DEVICES


DEFAULT_FAN_OUT_LIMITS = FanOutLimits()


@dataclass(frozen=True, slots=True)
class FanOuts:
    """Carries out fan-outs.

    Args:
        store: the tables.
        queue: the push queue.
        pacer: schedules the pages.
        clock: epoch seconds.
        limits: of a fan-out.
    """

    store: Store
    queue: Queue
    pacer: Pacer
    clock: Callable[[], float]
    limits: FanOutLimits = DEFAULT_FAN_OUT_LIMITS

    def carry_out(self, message_id: str, task: FanOut, *, deadline: float) -> None:
        """Page through the devices that hold a pass, and send push tasks for them that run in parallel.

        `updates/fan_outs.py` has the rules that decide which message does this.

        Args:
            message_id: of the message that requests the fan-out.
            task: the fan-out.
            deadline: monotonic seconds by which it must end.

        Raises:
            TransientError: the message must be delivered again.
        """
        if not self._stopped(task, deadline=deadline):
            self._continue(message_id, task, deadline=deadline)

    def _continue(self, message_id: str, task: FanOut, *, deadline: float) -> None:
        after: DeviceLibraryIdentifier | None = task.after
        progress: FanOutProgress | None = None
        if task.modified_at is not None:
            progress = self._claim(message_id, task, modified_at=task.modified_at)
            if progress is None:
                self._note(task, waits=False)
                return
            after = DeviceLibraryIdentifier(progress.reached) if progress.reached else None
        began = after
        slot_at = task.slot_at
        limit = min(self.limits.page, self.pacer.rate.devices_per_send)
        while time.monotonic() < deadline - RESERVE_SECONDS:
            try:
                page = self.store.registrations.page(task.pass_id, after=after, limit=limit)
                if page.devices:
                    lane = self._lane_of(page, after)
                    slot_at = slot_at or self.pacer.schedule(lane, len(page.devices))
                    if slot_at - self.clock() > HORIZON_SECONDS:
                        break
                    self._notify(task, page, lane=lane, slot_at=slot_at, until=deadline - RESERVE_SECONDS)
            except TransientError:
                if after == began:
                    raise
                break  # devices that have a push task already must not get another
            found = {"pass_id": task.pass_id, "devices": len(page.devices), "shown": log.first_ids(page.devices)}
            log.event("devices_found", **found, changes=task.change)
            after, slot_at = (page.devices[-1] if page.devices else after), 0.0
            progress = self._advance(task, progress, after, done=not page.more)
            if not page.more:
                self._note(task, waits=False)
                return
        delay = self.pacer.delay_seconds(slot_at, before=HORIZON_SECONDS / 2)
        self.queue.send([replace(task, after=after, slot_at=slot_at)], delay_seconds=delay, until=deadline)
        if progress is not None:  # the new message may take over at once
            self._save(task, before=progress, after=replace(progress, holder=""))
        self._note(task, waits=True)

    def _stopped(self, task: FanOut, *, deadline: float) -> bool:
        """Drop a fan-out, or have it wait, if an operator has stopped its pushes; False to carry it out.

        Raises:
            QueueError: SQS did not accept the fan-out that waits.
        """
        match self.pacer.stop_of(task.pass_id.pass_type_identifier, changed_at=task.changed_at):
            case Stop.DROP:
                log.event("pushes_dropped", pass_id=task.pass_id, changes=task.change)
                self._note(task, waits=False)
                return True
            case Stop.KEEP:
                later = replace(task, slot_at=self.clock() + KEPT_SECONDS)
                self.queue.send([later], delay_seconds=KEPT_SECONDS, until=deadline)
                return True
        return False

    def _note(self, task: FanOut, *, waits: bool) -> None:
        """Note for `push status` that a fan-out waits for its lane, when it does so for the first time, or that it has
        ended after it waited. Nothing depends on it, so a failure is ignored.
        """
        timelines, noted = self.store.timelines, task.after is not None or bool(task.slot_at)
        with suppress(TransientError):
            if waits and not noted:
                timelines.add_fan_out(task.pass_id)
            elif noted and not waits:
                timelines.remove_fan_out(task.pass_id)

    def _lane_of(self, page: RegistrationPage, after: DeviceLibraryIdentifier | None) -> Lane:
        """Return the lane of a fan-out's page: narrow only if it is the whole fan-out, of few devices."""
        whole = after is None and not page.more
        return Lane.NARROW if whole and len(page.devices) <= self.limits.narrow_devices else Lane.WIDE

    def _notify(self, task: FanOut, page: RegistrationPage, *, lane: Lane, slot_at: float, until: float) -> None:
        """Send the push task of a page of a fan-out, to be received when its slot comes.

        Raises:
            QueueError: SQS did not accept it.
        """
        notify = NotifyDevices(
            task.pass_id.pass_type_identifier,
            page.devices,
            task.changed_at,
            task.change,
            lane=lane,
            slot_at=slot_at,
            paced_seconds=round(max(0.0, slot_at - task.changed_at), 3),
        )
        delay = self.pacer.delay_seconds(slot_at)
        self.queue.send([notify], delay_seconds=delay, until=until)

    def _claim(self, message_id: str, task: FanOut, *, modified_at: int) -> FanOutProgress | None:
        """Claim a fan-out for a message; None if there is nothing to do.

        Raises:
            TransientError: another message has claimed it.
        """
        state = self.store.versions.fan_out_state(task.pass_id)
        claimed = claim(
            state,
            modified_at=modified_at,
            after=task.after.value if task.after else "",
            holder=message_id,
            now=self.clock(),
        )
        if claimed is Decline.END:
            log.event("fan_out_ended", pass_id=task.pass_id, modified_at=modified_at, announced=state.announced)
            return None
        if claimed is Decline.WAIT:
            raise FanOutHeldError(f"pass {task.pass_id}: another message carries out this fan-out")
        self._save(task, before=state.progress, after=claimed)
        return claimed

    def _advance(
        self, task: FanOut, progress: FanOutProgress | None, after: DeviceLibraryIdentifier | None, *, done: bool
    ) -> FanOutProgress | None:
        if progress is None:
            return None
        reached = after.value if after else ""
        advanced = replace(progress, reached=reached, at=int(self.clock()), done=done)
        self._save(task, before=progress, after=advanced)
        return advanced

    def _save(self, task: FanOut, *, before: FanOutProgress | None, after: FanOutProgress) -> None:
        """Write a fan-out's progress.

        Raises:
            TransientError: it was not written, or another message or a newer change has taken over.
        """
        if not self.store.versions.advance_fan_out(task.pass_id, before=before, after=after):
            raise FanOutHeldError(f"pass {task.pass_id}: another message or a newer change has taken over this fan-out")


class FanOutHeldError(TransientError):
    """Another message carries out the fan-out; this one must be delivered again to check that it was completed."""
