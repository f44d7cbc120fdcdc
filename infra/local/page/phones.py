"""The simulated phones of the page: what a person sees on them and does with them.

Each phone works on a thread of its own, so that one that waits for the service does not keep the others waiting. All
are saved in a private file, since the registrations of a run survive its restart, too.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.core.errors import PasswireError
from chalicelib.preview import OpenedPass, notification_html
from infra.local.page.shown_phone import PassKey, Screen, ShownPhone, Update, read_phones, save_phones
from infra.local.phone import InstalledPass, Phone, PhoneError, PhoneEvent
from infra.local.verification import PassError

MAX_PHONES = 12
MAX_EVENTS = 300
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español", "ja": "日本語", "ar": "العربية"}


class PhonesError(PasswireError):
    """An action is not possible; the message says why."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A line of the timeline.

    Args:
        number: increases with each line.
        at: epoch seconds.
        source: the phone's name, or APNs, or the page.
        phone: the phone's number; 0 for none.
        event: what happened.
    """

    number: int
    at: float
    source: str
    phone: int
    event: PhoneEvent


class PagePhones:
    """All phones of the page.

    Args:
        file: where they are saved.
        on_change: called with the name of what has changed: `phones`, `phone-<number>`, `timeline`.
    """

    def __init__(self, file: Path, on_change: Callable[[str], None]) -> None:
        self._file = file
        self._on_change = on_change
        self._lock = threading.RLock()
        self._phones: dict[int, ShownPhone] = {}
        self._events: deque[Happening] = deque(maxlen=MAX_EVENTS)
        self._number = self._last_phone = 0
        for shown in read_phones(file):
            self._put(shown)
        if not self._phones:
            self.add("en")

    def all(self) -> list[ShownPhone]:
        with self._lock:
            return list(self._phones.values())

    def get(self, number: int) -> ShownPhone:
        """Return a phone.

        Raises:
            PhonesError: it was removed.
        """
        with self._lock:
            if number not in self._phones:
                raise PhonesError(f"there is no iPhone {number} any more; reload the page")
            return self._phones[number]

    def timeline(self) -> list[Happening]:
        """The events, newest first."""
        with self._lock:
            return list(reversed(self._events))

    def note(self, source: str, event: PhoneEvent, *, phone: int = 0) -> None:
        """Add a line to the timeline."""
        with self._lock:
            self._number += 1
            self._events.append(Happening(self._number, time.time(), source, phone, event))
        self._on_change("timeline")

    def add(self, language: str) -> ShownPhone:
        """Add a phone.

        Raises:
            PhonesError: there are `MAX_PHONES`.
        """
        with self._lock:
            if len(self._phones) >= MAX_PHONES:
                raise PhonesError(f"there are {MAX_PHONES} phones; remove one, or use `passwire phones` for many")
            shown = self._put(ShownPhone(self._last_phone + 1, Phone(language=language)))
        self._changed()
        return shown

    def remove(self, number: int) -> None:
        """Throw a phone away, as a person who does not remove its passes first: the service is not notified."""
        shown = self.get(number)
        with self._lock:
            self._phones.pop(number, None)
        shown.worker.shutdown(wait=False)
        self._changed()

    def switch(self, number: int, *, on: bool) -> None:
        """Turn a phone on or off. When it is on again, APNs delivers what it has kept."""
        shown = self.get(number)
        with self._lock:
            shown.is_on = on
            waiting = shown.waiting.take(time.time()) if on else {}
        for topic, count in waiting.items():
            more = f", the latest of {count}" if count > 1 else ""
            self.note("APNs", PhoneEvent("push", f"delivers the push that waited{more}"), phone=number)
            self._receive(shown, topic)
        self._changed(number)

    def show(self, number: int, screen: Screen, *, selected: PassKey | None = None) -> None:
        """Lock a phone, or open Wallet, at a pass. Opening a pass removes its notifications."""
        shown = self.get(number)
        with self._lock:
            shown.screen = screen
            if selected is not None:
                shown.selected = selected
            if screen is Screen.WALLET:
                shown.updates.clear()
        self._changed(number)

    def speak(self, number: int, language: str) -> None:
        """Change the language of a phone."""
        if language not in LANGUAGES:
            raise PhonesError(f"a phone speaks one of {', '.join(LANGUAGES)}")
        shown = self.get(number)
        with self._lock:
            shown.phone.language = language
            for key, installed in shown.phone.passes.items():
                shown.phone.passes[key] = InstalledPass.open(
                    installed.archive, language=language, last_modified=installed.last_modified, verify=False
                )
        self._changed(number)

    def open_link(self, number: int, link: str) -> "Future[None]":
        """Open a download link and add its pass."""

        def work(shown: ShownPhone) -> None:
            before = dict(shown.phone.passes)
            try:
                shown.phone.opens(link)
            finally:
                added = [key for key, installed in shown.phone.passes.items() if before.get(key) is not installed]
                shown.selected = next(iter(added), shown.selected)
            shown.unregistered.difference_update(added)
            shown.screen = Screen.WALLET
            shown.updates.clear()

        return self._act(number, work)

    def remove_pass(self, number: int, key: PassKey) -> "Future[None]":
        """Delete a pass on the phone, which unregisters it."""

        def work(shown: ShownPhone) -> None:
            try:
                shown.phone.removes(*key)
            finally:
                shown.selected = next(iter(shown.phone.passes), None)
                shown.unregistered.discard(key)

        return self._act(number, work)

    def unregister(self, number: int, key: PassKey) -> "Future[None]":
        """Delete the registration of a pass on the server; the phone does not know."""

        def work(shown: ShownPhone) -> None:
            shown.phone.unregisters(shown.phone.passes[key])
            shown.unregistered.add(key)

        return self._act(number, work)

    def register(self, number: int, key: PassKey) -> "Future[None]":
        """Register a pass again."""

        def work(shown: ShownPhone) -> None:
            shown.phone.registers(shown.phone.passes[key])
            shown.unregistered.discard(key)

        return self._act(number, work)

    def refresh(self, number: int, key: PassKey) -> "Future[None]":
        """Pull the back of a pass down to refresh it: download it if it was modified."""
        return self._act(number, lambda shown: self._download(shown, key))

    def deliver(self, push: Mapping[str, Any]) -> None:
        """Take a push that APNs has accepted to its phone, or keep it while that is off."""
        shown = next((phone for phone in self.all() if phone.phone.push_token == push["token"]), None)
        topic = push["topic"]
        if shown is None or topic is None:
            return
        if push["status"] not in (200, None):
            event = PhoneEvent("push", f"refused the push: {push['status']} {push['reason'] or ''}".rstrip(), ok=False)
            self.note("APNs", event, phone=shown.number)
        elif shown.is_on:
            self.note("APNs", PhoneEvent("push", "delivers an empty push"), phone=shown.number)
            self._receive(shown, topic)
        else:
            with self._lock:
                shown.waiting.keep(topic, push["headers"])
                count = shown.waiting.counts.get(topic, 0)
            text = f"keeps the push until {shown.name} is on again"
            more = f"; it replaces {count - 1} older" if count > 1 else ""
            self.note("APNs", PhoneEvent("push", text + more), phone=shown.number)
            self._changed(shown.number)

    def _receive(self, shown: ShownPhone, topic: str) -> None:
        """React to a push as a phone does: list what has changed, and download that."""

        def work(shown: ShownPhone) -> None:
            if not any(kind == topic for kind, _ in shown.phone.passes):
                return
            for serial_number in shown.phone.asks_what_changed(topic):
                if (topic, serial_number) in shown.phone.passes:
                    self._download(shown, (topic, serial_number))

        self._act(shown.number, work)

    def _download(self, shown: ShownPhone, key: PassKey) -> None:
        before = shown.phone.passes[key]
        try:
            after = shown.phone.downloads(before)
        except PassError as error:
            shown.phone.reports(before, f"Web service error for {key[0]}: {error}")
            raise
        if after is None:
            return
        language, passes = shown.phone.language, (before, after)
        with self._lock:
            shown.selected = key
            if notifies := bool(notification_html(*(OpenedPass.read(p.archive, language=language) for p in passes))):
                shown.updates.appendleft(Update(time.time(), before.archive, after.archive))
                shown.screen = Screen.LOCKED
        text = "shows a notification" if notifies else "updates the pass without a notification"
        self.note(shown.name, PhoneEvent("show", text), phone=shown.number)

    def _act(self, number: int, work: Callable[[ShownPhone], None]) -> "Future[None]":
        """Run an action on the phone's thread; a failure becomes its problem."""
        shown = self.get(number)

        def run() -> None:
            try:
                work(shown)
            except (PhoneError, PassError) as error:
                shown.problem = str(error)
            except KeyError:
                shown.problem = "the pass is not on the phone any more"
            else:
                shown.problem = ""
            finally:
                self._changed(number)

        return shown.worker.submit(run)

    def _put(self, shown: ShownPhone) -> ShownPhone:
        shown.phone.on_event = lambda event: self.note(shown.name, event, phone=shown.number)
        self._phones[shown.number] = shown
        self._last_phone = max(self._last_phone, shown.number)
        return shown

    def _changed(self, number: int | None = None) -> None:
        self._save()
        self._on_change("phones" if number is None else f"phone-{number}")

    def _save(self) -> None:
        with self._lock:
            save_phones(self._file, self._phones.values())
