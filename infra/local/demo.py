"""Plays the whole loop as a timeline: a pass is issued, added, changed, pushed, listed, downloaded, and shown."""

import secrets
import subprocess
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from chalicelib.core.identifiers import PassId
from chalicelib.preview import page
from infra.local.ministack import LocalError
from infra.local.phone import Phone
from infra.local.run import LocalRun
from infra.operate.event_tail import EventTail, described, event_tail
from infra.operate.passes.links import Links
from infra.stage import aws
from infra.stage.stage import Stage

PUSH_TIMEOUT_SECONDS = 30.0
EVENTS = ("pass.registered", "pass.updated", "pass.unregistered")
"""Events of the demo's pass, in their order. Those of two streams can arrive in another one."""
LINK_LIFETIME = timedelta(days=30)
"""Longer than a local run is up."""


class Timeline:
    """Reports each step with the seconds since the start and its own duration."""

    def __init__(self, on_progress: Callable[[str], None]) -> None:
        self._on_progress = on_progress
        self._start = self._last = time.perf_counter()

    def step(self, text: str) -> None:
        now = time.perf_counter()
        self._on_progress(f"{now - self._start:7.3f} s  (+{now - self._last:5.3f})  {text}")
        self._last = now


def run_demo(stack: LocalRun, folder: Path, *, on_progress: Callable[[str], None]) -> Path:
    """Play the loop on a running local run. The pass stays, so that its link works until the run stops.

    Args:
        stack: the local run.
        folder: for the final `.pkpass`.
        on_progress: called with each line of the timeline.

    Returns:
        The final pass.

    Raises:
        LocalError, PhoneError: a step failed.
    """
    stack.use()
    passes = aws.resource("dynamodb").Table(stack.tables["passes"])
    pass_id = PassId(stack.pass_type_identifier, f"DEMO-{secrets.token_hex(3).upper()}")
    fields = {"gate": "A7", "seat": "14C", "passenger": "Ada Lovelace"}
    item = {"pass_id": str(pass_id), "template": stack.template}
    timeline = Timeline(on_progress)
    with ExitStack() as cleanup:
        events = cleanup.enter_context(event_tail(Stage.open(stack.stage)))
        phone = Phone()
        cleanup.callback(phone.close)
        passes.put_item(Item={**item, "fields": fields})
        timeline.step(f"pipeline: PutItem {pass_id}, gate A7")
        link = _links(stack).make([pass_id], lifetime=LINK_LIFETIME)
        timeline.step(f"issuer:   hands it out by a link: {link.url}")
        status = phone.opens(link.url)
        timeline.step(f"phone:    opens the link, adds the pass and registers: {status.value} {status.phrase}")
        archive = phone.passes[stack.pass_type_identifier, pass_id.serial_number].archive
        timeline.step(f"openssl:  {verify_signature(archive, Path(stack.ca_file), folder)}")
        passes.put_item(Item={**item, "fields": {**fields, "gate": "B22"}})
        timeline.step("pipeline: PutItem, gate B22")
        push = _wait_for_push(stack, phone)
        timeline.step(f"APNs:     an empty push {push['body']} for topic {push['topic']} arrives over HTTP/2")
        messages = phone.receives_push(stack.pass_type_identifier)
        timeline.step("phone:    lists the changed passes and downloads that one, newly signed")
        if not messages:
            raise LocalError(
                f"the phone shows no change of {pass_id} after the push; the logs of the functions say why"
            )
        for message in messages:
            timeline.step(f'phone:    shows "{message}"')
        final = folder / f"{pass_id.serial_number}.pkpass"
        final.write_bytes(phone.passes[stack.pass_type_identifier, pass_id.serial_number].archive)
        picture = folder / "pass.html"
        picture.write_text(page(final.read_bytes(), language=phone.language))
        timeline.step(f"picture:  {picture}")
        phone.removes(stack.pass_type_identifier, pass_id.serial_number)
        timeline.step("phone:    removes the pass and unregisters")
        for event in _wait_for_events(events, pass_id):
            timeline.step(f"events:   {described(event)}")
        return final


def verify_signature(archive: bytes, ca_file: Path, folder: Path) -> str:
    """Verify a pass's signature with openssl; returns the line that openssl prints.

    Raises:
        LocalError: openssl refuses the signature.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "check.pkpass"
    path.write_bytes(archive)
    with zipfile.ZipFile(path) as members:
        for name in ("manifest.json", "signature"):
            (folder / name).write_bytes(members.read(name))
    command = ["openssl", "smime", "-verify", "-inform", "DER", "-in", "signature", "-content", "manifest.json"]
    command += ["-CAfile", str(ca_file), "-purpose", "any", "-out", "/dev/null"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    for name in ("check.pkpass", "manifest.json", "signature"):
        (folder / name).unlink()
    if done.returncode:
        raise LocalError(f"openssl refuses the pass's signature: {done.stderr.strip()}")
    return done.stderr.strip()


def _links(stack: LocalRun) -> Links:
    return Links(Stage.open(stack.stage))


def _wait_for_events(tail: EventTail, pass_id: PassId) -> list[dict[str, Any]]:
    """Return the events of the pass."""
    until = time.monotonic() + PUSH_TIMEOUT_SECONDS
    found: dict[str, dict[str, Any]] = {}
    while time.monotonic() < until:
        for event in tail.receive():
            if event["detail"].get("pass_id") == str(pass_id):
                found.setdefault(event["detail-type"], event)  # each arrives at least once
        if found.keys() >= set(EVENTS):
            return [found[name] for name in EVENTS]
    raise LocalError(f"{len(found)} of {len(EVENTS)} events of {pass_id} arrived; the logs of the functions say why")


def _wait_for_push(stack: LocalRun, phone: Phone) -> dict[str, str]:
    until = time.monotonic() + PUSH_TIMEOUT_SECONDS
    while time.monotonic() < until:
        for push in httpx.get(f"{stack.apns_control_url}/pushes").json():
            if push["token"] == phone.push_token:
                return dict(push)
        time.sleep(0.02)
    raise LocalError(
        f"no push arrived at the APNs stand-in within {PUSH_TIMEOUT_SECONDS:.0f} s; the logs of the functions say why"
    )
