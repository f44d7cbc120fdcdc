"""Breaks each guard of the update protocol on purpose, to test the tests of the schedules.

A property test that finds nothing may check nothing. Each mutation removes one guard from the code under test, and the
schedules must then find a lost update.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.flows import fan_out, send_pushes, stamp
from chalicelib.flows.authorize import UnauthorizedError, authorize, read_header
from chalicelib.flows.change import ChangeHandler
from chalicelib.flows.download import Download, Downloader
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.fan_out import FanOuts
from chalicelib.flows.listing import Lister, Listing
from chalicelib.flows.pace import Pacer
from chalicelib.flows.push_worker import PushWorker
from chalicelib.flows.recheck import Rechecker, Valid
from chalicelib.flows.register import Registrar
from chalicelib.passes.item import PassItem
from chalicelib.updates.changes import PassChange
from chalicelib.updates.conditional import validators_of
from chalicelib.updates.fan_outs import Decline, FanOutProgress, FanOutState, claim
from chalicelib.updates.pacing import HORIZON_SECONDS, Lane, Slot
from chalicelib.updates.protocol import HeldPass, RecheckRequest, RecheckStamp, Tag, Version
from chalicelib.updates.push_tasks import FanOut, NotifyDevices, Recheck, RemoveRegistrations
from tests.schedules.memory import MemoryTimelines, MemoryVersions

Mutation = Any
"""A context manager of `unittest.mock.patch`."""


def stamp_after_fan_out() -> Mutation:
    original = ChangeHandler._stamp

    def settle(self: ChangeHandler, change: PassChange) -> Sequence[DeviceLibraryIdentifier]:
        if change.deleted or change.first_issue:
            return original(self, change)
        found = self._find_devices(change, modified_at=0)
        stamp.stamp(self.store, change.pass_id, now=self.clock(), changes=change.count, deleted=False)
        return found

    return patch.object(ChangeHandler, "_stamp", settle)


def read_before_write_at_registration() -> Mutation:
    def register(self: Registrar, **call: Any) -> bool:  # noqa: ANN401
        device, pass_id = call["device"], call["pass_id"]
        authorize(self.store, self.keys, pass_id, authorization=call["authorization"])
        version = self.store.versions.get(pass_id)
        rows = {"push_token": call["push_token"], "at": call["now"]}
        first_time = self.store.registrations.create(device, pass_id, **rows)
        if not first_time:
            self.store.registrations.refresh(device, pass_id, **rows)
        if version is not None and version.changed_since_issue:
            self.queue.send([NotifyDevices(pass_id.pass_type_identifier, (device,), call["now"])])
        return first_time

    return patch.object(Registrar, "register", register)


def item_read_before_version_at_download() -> Mutation:
    """The content may then be older than the stamp with which it is served."""

    def download(self: Downloader, **call: Any) -> Download:  # noqa: ANN401
        authorize(self.store, self.keys, call["pass_id"], authorization=call["authorization"])
        attributes = self.store.passes.content(call["pass_id"])
        version = self.store.versions.get(call["pass_id"])
        if attributes is None:
            raise UnauthorizedError
        if version is not None and call["conditions"].not_modified(version):
            return Download(None, validators_of(version))
        if version is None:
            version = Version.before_any_stamp(call["now"], window_seconds=self.window_seconds)
        pkpass = self.builder.build(
            PassItem.parse(attributes),
            personalized=False,
            authentication_token=read_header(call["authorization"]),
            web_service_url=call["web_service_url"],
            at=datetime.fromtimestamp(call["now"], UTC),
        )
        return Download(pkpass, validators_of(version))

    return patch.object(Downloader, "download", download)


def tag_without_window() -> Mutation:
    return patch.object(Tag, "at", classmethod(lambda cls, as_of, *, window_seconds: cls(int(as_of))))  # noqa: ARG005


def tag_of_the_future_taken_at_its_word() -> Mutation:
    return patch.object(Tag, "can_be_issued", lambda self, as_of, *, window_seconds: True)  # noqa: ARG005


def newest_stamp_as_tag() -> Mutation:
    def list_changed(
        self: Lister, *, device: DeviceLibraryIdentifier, pass_type_identifier: str, tag: Tag | None, now: float
    ) -> Listing | None:
        assert pass_type_identifier
        assert now
        row = self.store.devices.get(device)
        states = self.store.devices.held_passes(device, sorted(row.passes)) if row and row.passes else {}
        named = [pass_id for pass_id, state in states.items() if state.is_changed_since(tag)]
        newest = max((_stamp_of(state) for state in states.values()), default=0)
        return Listing(tuple(p.serial_number for p in named), Tag(newest)) if named else None

    return patch.object(Lister, "list_changed", list_changed)


def _stamp_of(state: HeldPass) -> int:
    return max(state.version.modified_at if state.version else 0, state.registered_at or 0)


def stamp_that_may_stand_still() -> Mutation:
    """Stamps with `max(now, modified_at)` instead of strictly increasing ones."""

    def stamp_next(
        self: MemoryVersions,
        pass_id: PassId,
        *,
        changes: int,
        deleted: bool,
        record: str = "",
        recheck: RecheckStamp | None = None,
    ) -> Version | None:
        before = self.rows.versions.get(pass_id)
        if before is None:
            return None
        modified_at = before.modified_at
        return self.put(pass_id, modified_at, changes=changes, deleted=deleted, record=record, recheck=recheck)

    return patch.object(MemoryVersions, "stamp_next", stamp_next)


def coalesced_changes_counted_once() -> Mutation:
    def then(self: PassChange, later: PassChange) -> PassChange:
        return replace(self, first_issue=self.first_issue, item=later.item)

    return patch.object(PassChange, "merged_with", then)


def registered_at_left_out() -> Mutation:
    def is_changed_since(self: HeldPass, tag: Tag | None) -> bool:
        if self.registered_at is None or (self.version is not None and self.version.deleted):
            return False
        return tag is None or (self.version.modified_at if self.version is not None else 0) > tag.seconds

    return patch.object(HeldPass, "is_changed_since", is_changed_since)


def gone_device_removed_whatever_it_did_since() -> Mutation:
    """A 410 for an old push token also removes the rows of the new one."""

    def remove_registrations(store: Any, device: Any, *, gone_at: int) -> bool:  # noqa: ANN401
        assert gone_at
        row = store.devices.get(device.identifier)
        return row is None or bool(store.devices.remove(row))

    return patch.object(send_pushes, "remove_device", remove_registrations)


def registrations_of_a_gone_pass_removed_unseen() -> Mutation:
    """Registrations are removed without a check that the pass is still deleted."""

    def remove_registrations(self: PushWorker, task: RemoveRegistrations, *, deadline: float) -> None:
        assert deadline
        for device in self.store.registrations.page(task.pass_id, after=None, limit=100).devices:
            self.store.registrations.delete(device, task.pass_id)

    return patch.object(PushWorker, "_remove_registrations", remove_registrations)


def registrations_removed_without_grace() -> Mutation:
    """Registrations are removed as soon as the worker finds the pass deleted."""
    return patch.object(ChangeHandler, "deletion_grace_seconds", property(lambda _: 0, lambda *_: None))


def first_deletion_ends_the_grace_of_the_second() -> Mutation:
    """The registrations of a pass that was deleted twice are removed when the first period ends."""
    original = PushWorker._remove_registrations

    def remove_registrations(self: PushWorker, task: RemoveRegistrations, *, deadline: float) -> None:
        original(self, replace(task, modified_at=None), deadline=deadline)

    return patch.object(PushWorker, "_remove_registrations", remove_registrations)


def any_stamp_ends_a_fan_out() -> Mutation:
    """A stamp that announces no change is taken for a change with a fan-out of its own."""

    def fan_out_state(self: MemoryVersions, pass_id: PassId) -> FanOutState:
        version = self.rows.versions.get(pass_id)
        return FanOutState(version.modified_at if version else 0, self.rows.fan_outs.get(pass_id))

    return patch.object(MemoryVersions, "fan_out_state", fan_out_state)


def a_record_that_is_stamped_is_settled() -> Mutation:
    """A batch that is repeated after a crash between stamp and fan-out does nothing."""
    original = ChangeHandler._stamp

    def settle(self: ChangeHandler, change: PassChange) -> Sequence[DeviceLibraryIdentifier]:
        version = self.store.versions.get(change.pass_id)
        if version is None or version.last_record != change.last_record:
            return original(self, change)
        return ()

    return patch.object(ChangeHandler, "_stamp", settle)


def fan_out_noted_as_done_before_it_is() -> Mutation:
    """Progress is recorded for all pages when the fan-out is claimed."""

    def claim_all(state: FanOutState, **message: Any) -> FanOutProgress | Decline:  # noqa: ANN401 - claim's own
        claimed = claim(state, **message)
        return replace(claimed, done=True) if isinstance(claimed, FanOutProgress) else claimed

    return patch.object(fan_out, "claim", claim_all)


def failed_pushes_dropped() -> Mutation:
    """Pushes that APNs did not accept are not queued."""
    return patch.object(send_pushes.PushSender, "_unsettled_by", lambda *_: [])


def refusals_not_recorded() -> Mutation:
    return patch.object(ChangeHandler, "_refuse", lambda *_: None)


def rewritten_refusals_ignored() -> Mutation:
    """The same content as before is never a change, even after a refusal."""
    return patch.object(ChangeHandler, "_refused_before", lambda *_: [])


def template_not_read_again_after_a_refusal() -> Mutation:
    return patch.object(ChangeHandler, "_recheck_repaired", lambda *_, **__: set())


def item_not_read_again_after_a_recheck() -> Mutation:
    """A recheck's stamp overwrites the refusal of a newer item that the stream recorded meanwhile."""
    original = Rechecker._look

    def look(self: Rechecker, task: Recheck, *, template_age_seconds: float) -> Any:  # noqa: ANN401
        return Valid() if template_age_seconds == 0.0 else original(self, task, template_age_seconds=5.0)

    return patch.object(Rechecker, "_look", look)


def unnecessary_recheck_counts_as_done() -> Mutation:
    """Other rechecks of the pass in a batch are dropped, even one that has a stamp and has sent no pushes."""
    original = PushWorker._recheck

    def recheck(self: PushWorker, task: Recheck, message_id: str, *, deadline: float) -> bool:
        original(self, task, message_id, deadline=deadline)
        return True

    return patch.object(PushWorker, "_recheck", recheck)


def failed_downloads_forgotten() -> Mutation:
    return patch.object(FailedDownloads, "note", lambda *_, **__: None)


def recheck_that_was_asked_for_relied_on_for_long() -> Mutation:
    """A recheck does not check whether it was carried out in the meantime."""
    return patch.object(RecheckRequest, "is_pending", lambda self, _, *, now: now - self.requested_at < 900)


def stages_time_not_taken() -> Mutation:
    """A send that is due starts without time on the stage's timeline: the lanes alone limit it."""

    def admit(self: Pacer, lane: Lane, devices: int, *, deadline: float) -> Slot:
        assert lane
        assert deadline
        return Slot(self.clock(), self.rate.stage_cost(devices) / 1e6)

    return patch.object(Pacer, "admit", admit)


def stages_time_taken_in_advance() -> Mutation:
    """The time is not waited for."""
    return patch.object(Pacer, "wait_until", lambda *_: None)


def timeline_without_condition() -> Mutation:
    """Each send takes time from now on, even if it is taken already."""

    def take_now(self: MemoryTimelines, costs: Mapping[str, int], *, now: int) -> bool:
        self.rows.timelines.update({timeline: now + cost for timeline, cost in costs.items()})
        return True

    return patch.object(MemoryTimelines, "take_now", take_now)


def unpaced_sends_taken_for_sent() -> Mutation:
    """A send for which the stage has no time is neither scheduled again nor queued."""
    return patch.object(PushWorker, "_sent_again", lambda *_, **__: [])


def early_push_tasks_dropped() -> Mutation:
    """A push task that is received before its slot is not sent again."""
    return patch.object(PushWorker, "_deferred", lambda *_, **__: True)


def fan_out_ends_at_its_horizon() -> Mutation:
    """A fan-out that is ahead of its lane is not continued."""
    original = FanOuts.carry_out

    def carry_out(self: FanOuts, message_id: str, task: FanOut, *, deadline: float) -> None:
        if task.slot_at - self.clock() <= HORIZON_SECONDS / 2:
            original(self, message_id, replace(task, slot_at=0.0), deadline=deadline)

    return patch.object(FanOuts, "carry_out", carry_out)


MUTATIONS: Mapping[str, Callable[[], Mutation]] = {
    "stamp after fan-out": stamp_after_fan_out,
    "read before write at registration": read_before_write_at_registration,
    "item read before version at download": item_read_before_version_at_download,
    "tag without window": tag_without_window,
    "tag of the future taken at its word": tag_of_the_future_taken_at_its_word,
    "newest stamp as tag": newest_stamp_as_tag,
    "max instead of strictly increasing": stamp_that_may_stand_still,
    "coalesced changes counted once": coalesced_changes_counted_once,
    "registered_at left out of the comparison": registered_at_left_out,
    "410 of an old token removes the new one": gone_device_removed_whatever_it_did_since,
    "registrations removed though the pass is back": registrations_of_a_gone_pass_removed_unseen,
    "registrations removed without grace": registrations_removed_without_grace,
    "first deletion ends the grace of the second": first_deletion_ends_the_grace_of_the_second,
    "any stamp ends a fan-out": any_stamp_ends_a_fan_out,
    "a record that is stamped is settled": a_record_that_is_stamped_is_settled,
    "fan-out noted as done before it is": fan_out_noted_as_done_before_it_is,
    "failed pushes dropped": failed_pushes_dropped,
    "refusals not recorded": refusals_not_recorded,
    "rewritten refusals ignored": rewritten_refusals_ignored,
    "template not read again after a refusal": template_not_read_again_after_a_refusal,
    "item not read again after a recheck": item_not_read_again_after_a_recheck,
    "an unnecessary recheck counts as done": unnecessary_recheck_counts_as_done,
    "failed downloads forgotten": failed_downloads_forgotten,
    "a request for a recheck relied on for long": recheck_that_was_asked_for_relied_on_for_long,
    "stage's time not taken": stages_time_not_taken,
    "stage's time not waited for": stages_time_taken_in_advance,
    "timeline without condition": timeline_without_condition,
    "unpaced sends taken for sent": unpaced_sends_taken_for_sent,
    "early push tasks dropped": early_push_tasks_dropped,
    "fan-out ends at its horizon": fan_out_ends_at_its_horizon,
}
