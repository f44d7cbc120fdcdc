"""Errors of the service, by what the caller can do about them: refuse, retry or alarm.

A message names the item, what is wrong with it and what to do. It must not contain a token, a key or a device library
identifier. A message that quotes text of a pipeline is shortened where it is created (`excerpt`, `shorten`), because
logs and queues limit the size of their entries.
"""

MAX_SHOWN_CHARACTERS = 100
MAX_MESSAGE_CHARACTERS = 1000
_CUT = "..."


def excerpt(value: object, *, max_characters: int = MAX_SHOWN_CHARACTERS) -> str:
    """Return a value as a message quotes it: control characters are escaped, and it is cut to `most` characters."""
    text = value if isinstance(value, str) else str(value)
    text = text[: max_characters + 1]  # the rest is cut off anyway: do not escape it
    escaped = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return escaped if len(escaped) <= max_characters else escaped[: max_characters - len(_CUT)] + _CUT


def shorten(message: str) -> str:
    """Return a message on one line, cut to `MAX_MESSAGE_CHARACTERS`."""
    return excerpt(message, max_characters=MAX_MESSAGE_CHARACTERS)


class PasswireError(Exception):
    """Base class of the errors that this service raises."""


class RefusedError(PasswireError):
    """The input is invalid and will remain so: refuse it, report it, do not retry."""


class TransientError(PasswireError):
    """A temporary failure: the input is valid, and the same call may succeed later."""


class ConfigurationError(PasswireError):
    """The deployment is wrong (a missing secret, an expired certificate): alarm and keep the work until it is fixed."""


def loggable(error: Exception) -> str:
    """Return the text of an error for a log line: the message of a `PasswireError`, else the name of its type.

    Messages of other errors may contain secrets.
    """
    return str(error) if isinstance(error, PasswireError) else type(error).__name__
