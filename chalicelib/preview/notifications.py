"""Notification of a phone after an update of a pass, as Wallet words it.

A field whose value changed and that has a change message notifies the person. If several do, Wallet shows one general
message ("Apple Wallet pass updates", passcreator.com); its exact words are not published. Otherwise it shows nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.passes.format.check import fields_of
from chalicelib.preview.opened import OpenedPass
from chalicelib.preview.values import FieldView, field_view
from chalicelib.preview.words import words_of

PLACEHOLDER = "%@"


@dataclass(frozen=True, slots=True)
class Notification:
    """A message on the lock screen.

    Args:
        pieces: its parts: texts, and the changed field, whose value is shown.
    """

    pieces: Sequence[str | FieldView]


def notification_between(before: OpenedPass, after: OpenedPass) -> Notification | None:
    """Return the notification about an update; None if Wallet shows none.

    Args:
        before: the pass on the phone, in the person's language.
        after: the downloaded pass, in the same language.
    """
    older = _by_key(before)
    changed = [
        member
        for key, member in _by_key(after).items()
        if key in older
        and _shown(older[key], before) != _shown(member, after)
        and after.text(member.get("changeMessage"))
    ]
    if not changed:
        return None
    if len(changed) > 1:
        return Notification((words_of(after.language)["changed"],))
    (member,) = changed
    message = after.text(member.get("changeMessage"))
    start, placeholder, end = message.partition(PLACEHOLDER)
    if not placeholder:
        return Notification((message,))
    plain = {name: value for name, value in member.items() if name not in ("label", "attributedValue")}
    return Notification((start, field_view(plain, text=after.text, language=after.language, back=False), end))


def _by_key(opened: OpenedPass) -> dict[str, Mapping[str, Any]]:
    fields: dict[str, Mapping[str, Any]] = {}
    for _, _, _, member in fields_of(opened.content):
        if isinstance(member.get("key"), str):
            fields.setdefault(member["key"], member)
    return fields


def _shown(member: Mapping[str, Any], opened: OpenedPass) -> object:
    value = member.get("value")
    return opened.text(value) if isinstance(value, str) else value
