"""Breaks each guard of the update protocol on purpose, to test the tests of the schedules.

A property test that finds nothing may check nothing. Each mutation removes one guard from the source of the code under
test, and the schedules must then find a lost update or an exceeded rate.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getsource, isclass, isfunction
from types import CodeType, FunctionType, ModuleType

from chalicelib.aws import clocks
from chalicelib.flows import (
    change,
    download,
    fan_out,
    listing,
    pace,
    push_worker,
    recent_versions,
    recheck,
    register,
    send_pushes,
)
from chalicelib.updates import changes, protocol, recent
from tests.schedules import memory
from tests.schedules.rates import Focus


@dataclass(frozen=True)
class Edit:
    """A change of one place in a module's source.

    Args:
        module: that contains the guard.
        old: the guard's text, which must occur once.
        new: the text instead.
    """

    module: ModuleType
    old: str
    new: str


class MutationError(Exception):
    """A guard is no longer where its mutation expects it: the mutation must follow the code."""


@contextlib.contextmanager
def broken(guard: str) -> Iterator[None]:
    """Run the code under test without one of its guards.

    The functions of the modules get the code of the edited source, so that it does not matter who has imported them.

    Raises:
        MutationError: the source does not contain the guard's text once.
    """
    originals: list[tuple[FunctionType, CodeType]] = []
    try:
        for module, source in edited(MUTATIONS[guard], name=guard).items():
            changed = ModuleType(module.__name__)
            changed.__file__ = module.__file__
            exec(compile(source, str(module.__file__), "exec"), changed.__dict__)  # noqa: S102 - our own source
            replacements = _functions(changed)
            for name, function in _functions(module).items():
                originals.append((function, function.__code__))
                function.__code__ = replacements[name].__code__
        yield
    finally:
        for function, code in originals:
            function.__code__ = code


def edited(edits: Sequence[Edit], *, name: str) -> dict[ModuleType, str]:
    """Return the sources of the edited modules.

    Raises:
        MutationError: a source does not contain an edit's text once.
    """
    sources: dict[ModuleType, str] = {}
    for edit in edits:
        source = sources.get(edit.module) or getsource(edit.module)
        if source.count(edit.old) != 1:
            raise MutationError(f"{name}: {edit.module.__name__} does not contain this once: {edit.old}")
        sources[edit.module] = source.replace(edit.old, edit.new)
    return sources


def _functions(module: ModuleType) -> dict[str, FunctionType]:
    """The functions and methods that a module's source defines, by qualified name."""
    defined = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    members = [member for value in defined if isclass(value) for member in vars(value).values()]
    found: dict[str, FunctionType] = {}
    for value in [*defined, *members]:
        function = getattr(value, "fget", getattr(value, "__func__", value))
        if isfunction(function) and function.__code__.co_filename == module.__file__:
            found[function.__qualname__] = function
    return found


UNCHANGED = "        unknown = [p for p in held if self.recent.get(p) is None]"

MUTATIONS: Mapping[str, tuple[Edit, ...]] = {
    "stamp after fan-out": (
        Edit(
            change,
            "        version = stamp(\n",
            "        if not deleted and not change.first_issue:\n"
            "            found = self._find_devices(change, Version(0, 0, announced=None))\n"
            "        version = stamp(\n",
        ),
        Edit(
            change,
            "            return self._find_devices(change, version)\n",
            "            if not change.first_issue:\n"
            "                return found\n"
            "            return self._find_devices(change, version)\n",
        ),
    ),
    "read before write at registration": (
        Edit(
            register,
            "        first_time = self.store.registrations.create(",
            "        version = self.store.versions.get(pass_id)\n        first_time = self.store.registrations.create(",
        ),
        Edit(register, "        version = self.store.versions.get(pass_id)\n        #", "        #"),
    ),
    "item read before version at download": (
        # The content may then be older than the stamp with which it is served.
        Edit(
            download,
            "            state = self.store.versions.state(pass_id) if derived",
            "            content = self.store.passes.content(pass_id)\n"
            "            state = self.store.versions.state(pass_id) if derived",
        ),
        Edit(
            download,
            "check(self.keys, pass_id, self.store.passes.content(pass_id),",
            "check(self.keys, pass_id, content,",
        ),
    ),
    "tag without window": (
        Edit(protocol, "return cls(max(0, int(as_of) - window_seconds))", "return cls(int(as_of))"),
    ),
    "tag of the future taken at its word": (
        Edit(
            protocol,
            "return self.seconds <= Tag.at(as_of, window_seconds=window_seconds).seconds + WINDOW_SLACK_SECONDS",
            "return True",
        ),
    ),
    "newest stamp as tag": (
        Edit(listing, "not tag.can_be_issued(now, window_seconds=self.window_seconds)", "False"),
        Edit(
            listing,
            "        named: list[PassId] = list(kept)\n",
            "        named: list[PassId] = list(kept)\n"
            "        newest = max((recent.version.modified_at for recent in kept.values()), default=0)\n",
        ),
        Edit(
            listing,
            "            named.extend(",
            "            for state in states.values():\n"
            "                stamped = state.version.modified_at if state.version else 0\n"
            "                newest = max(newest, stamped, state.registered_at or 0)\n"
            "            named.extend(",
        ),
        Edit(listing, "Tag.at(min(now, as_of), window_seconds=self.window_seconds))", "Tag(newest))"),
    ),
    "max instead of strictly increasing": (
        Edit(memory, "modified_at = version.modified_at + 1", "modified_at = version.modified_at"),
    ),
    "coalesced changes counted once": (
        Edit(
            changes,
            "self, count=self.count + later.count, first_issue=False, item=later.item, last_record=later.last_record",
            "self, item=later.item",
        ),
    ),
    "registered_at left out of the comparison": (
        Edit(
            protocol,
            "return max(modified_at, self.registered_at) > tag.seconds",
            "return modified_at > tag.seconds",
        ),
    ),
    "410 of an old token removes the new one": (
        Edit(send_pushes, "if row is None or row.push_token != device.push_token:", "if row is None:"),
        Edit(send_pushes, "if row.updated_at > gone_at:", "if False:"),
    ),
    "registrations removed though the pass is back": (
        # It is back, and its stamp is still to come.
        Edit(push_worker, "if self.store.passes.for_authorization(task.pass_id) is not None:", "if False:"),
    ),
    "registrations removed without grace": (Edit(change, "grace = self.deletion_grace_seconds", "grace = 0"),),
    "first deletion ends the grace of the second": (
        Edit(push_worker, "if task.modified_at is not None and announced > task.modified_at:", "if False:"),
    ),
    "any stamp ends a fan-out": (
        # A stamp that announces no change is taken for a change with a fan-out of its own.
        Edit(memory, "FanOutState(version.announced if version", "FanOutState(version.modified_at if version"),
    ),
    "a record that is stamped is settled": (
        # A batch that is repeated after a crash between stamp and fan-out does nothing.
        Edit(
            change,
            "        deleted = change.deleted and ",
            "        before = self.store.versions.get(change.pass_id)\n"
            "        if before is not None and before.last_record == change.last_record:\n"
            "            return\n"
            "        deleted = change.deleted and ",
        ),
    ),
    "fan-out noted as done before it is": (
        Edit(
            fan_out,
            "        self._save(task, before=state.progress, after=claimed)\n",
            "        claimed = replace(claimed, done=True)\n"
            "        self._save(task, before=state.progress, after=claimed)\n",
        ),
    ),
    "failed pushes dropped": (
        Edit(send_pushes, "        return [device.identifier for device in devices]\n", "        return []\n"),
    ),
    "refusals not recorded": (
        Edit(change, "self.store.versions.record_refusal(refused.pass_id, refusal, changes=refused.count)", "pass"),
    ),
    "rewritten refusals ignored": (
        # The same content as before is never a change, even after a refusal.
        Edit(change, "[e for e in batch.entries if isinstance(e, PassChange) and not e.count]", "[]"),
    ),
    "template not read again after a refusal": (
        Edit(
            change, "self._recheck_repaired([u for u in invalid if u.refused in refused], deadline=deadline)", "set()"
        ),
    ),
    "item not read again after a recheck": (
        # A recheck's stamp overwrites the refusal of a newer item that the stream recorded meanwhile.
        Edit(
            recheck,
            "found = self._look(task, template_age_seconds=0.0 if written else TEMPLATE_AGE_SECONDS)",
            "found = Valid() if written else self._look(task, template_age_seconds=TEMPLATE_AGE_SECONDS)",
        ),
    ),
    "an unnecessary recheck counts as done": (
        # Other rechecks of the pass in a batch are dropped, even one that has a stamp and has sent no pushes.
        Edit(
            push_worker,
            "return self.rechecker().recheck(task, message_id=message_id, deadline=deadline)",
            "self.rechecker().recheck(task, message_id=message_id, deadline=deadline)\n        return True",
        ),
    ),
    "failed downloads forgotten": (
        Edit(download, "self.failures.note(pass_id, error, state=state, item=item)", "pass"),
    ),
    "a request for a recheck relied on for long": (
        # A recheck does not check whether it was carried out in the meantime.
        Edit(
            protocol,
            "return same_version and 0 <= now - self.requested_at < RECHECK_REQUEST_SECONDS",
            "return now - self.requested_at < RECHECK_REQUEST_SECONDS",
        ),
    ),
    "stage's time not taken": (
        # A send that is due starts without time on the stage's timeline: the lanes alone limit it.
        Edit(
            pace,
            "        patience = min(",
            "        return Slot(self.clock(), seconds(self.rate.stage_cost(devices)))\n        patience = min(",
        ),
    ),
    "stage's time not waited for": (Edit(pace, "            self.sleep(left)", "            pass"),),
    "timeline without condition": (
        # Each send takes time from now on, even if it is taken already.
        Edit(
            memory,
            "if any(self.rows.timelines.get(timeline, now - 1) >= now for timeline in costs):",
            "if False:",
        ),
    ),
    "unpaced sends taken for sent": (
        # A send for which the stage has no time is neither scheduled again nor queued.
        Edit(
            push_worker,
            "        return [\n            message.message_id for message, task in group.tasks if not self._deferred(",
            "        return []\n        [message.message_id for message, task in group.tasks if not self._deferred(",
        ),
    ),
    "early push tasks dropped": (
        # A push task that is received before its slot is not sent again.
        Edit(
            push_worker,
            "        match task:\n            case NotifyDevices():\n                due_at",
            "        return True\n        match task:\n            case NotifyDevices():\n                due_at",
        ),
    ),
    "fan-out ends at its horizon": (
        # A fan-out that is ahead of its lane is not continued.
        Edit(
            fan_out,
            "        delay = self.pacer.delay_seconds(slot_at, before=HORIZON_SECONDS / 2)\n",
            "        if slot_at - self.clock() > HORIZON_SECONDS:\n"
            "            return\n"
            "        delay = self.pacer.delay_seconds(slot_at, before=HORIZON_SECONDS / 2)\n",
        ),
    ),
    "list calls trust a recent version that is not later": (
        # A pass is left out because a kept version is not later than the tag.
        Edit(listing, "        unknown = [p for p in held if p not in kept]", UNCHANGED),
    ),
    "304 from a recent version": (
        # A download is answered with 304 because the device has the kept version.
        Edit(
            download,
            "        if recent is not None and signed is not None:\n",
            "        if recent is not None and recent.signed is not None and conditions.not_modified(recent.version):\n"
            "            return Download(None, validators_of(recent.version))\n"
            "        if recent is not None and signed is not None:\n",
        ),
    ),
    "pushes of a fan-out not delayed": (
        Edit(change, "self.queue.send([task], delay_seconds=PUSH_DELAY_SECONDS)", "self.queue.send([task])"),
    ),
    "pass that was on many devices pushed to at once": (
        # The push function notifies the few devices that are left, without the delay of a fan-out.
        Edit(change, "        if version.fanned_out:\n            return self._fan_out(change, version)\n", ""),
    ),
    "narrow passes kept as well": (
        Edit(recent, "return version is not None and version.fanned_out and not", "return version is not None and not"),
    ),
    "age by the monotonic clock alone": (
        Edit(
            clocks,
            "return max(now - then for now, then in zip(self.now(), moment, strict=True))",
            "return self.timer() - moment[1]",
        ),
    ),
    "age by the wall clock alone": (
        Edit(
            clocks,
            "return max(now - then for now, then in zip(self.now(), moment, strict=True))",
            "return self.clock() - moment[0]",
        ),
    ),
    "age counted from after the read": (
        Edit(
            download,
            "        self.recent.keep(pass_id, version, read_at=read_at, signed=signed)",
            "        self.recent.keep(pass_id, version, read_at=self.recent.now(), signed=signed)",
        ),
    ),
    "kept without an end": (Edit(recent_versions, "self._clocks.seconds_since(read_at) < CACHE_SECONDS", "True"),),
}

FOCUS: Mapping[str, Focus] = {
    "refusals not recorded": Focus.REPAIRS,
    "rewritten refusals ignored": Focus.REPAIRS,
    "item not read again after a recheck": Focus.REPAIRS,
    "an unnecessary recheck counts as done": Focus.REPAIRS,
    "failed downloads forgotten": Focus.REPAIRS,
    "a request for a recheck relied on for long": Focus.REPAIRS,
    "first deletion ends the grace of the second": Focus.RELOADS,
    "registrations removed though the pass is back": Focus.RELOADS,
    "registrations removed without grace": Focus.RELOADS,
    "list calls trust a recent version that is not later": Focus.RUSH,
    "304 from a recent version": Focus.RUSH,
    "pushes of a fan-out not delayed": Focus.RUSH,
    "pass that was on many devices pushed to at once": Focus.RUSH,
    "narrow passes kept as well": Focus.RUSH,
    "age by the monotonic clock alone": Focus.RUSH,
    "age by the wall clock alone": Focus.RUSH,
    "age counted from after the read": Focus.RUSH,
    "kept without an end": Focus.RUSH,
}
"""The subject of the schedules in which a broken guard is searched for; without one, schedules of all subjects."""
