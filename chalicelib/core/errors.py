"""The errors of the service, by what the caller can do about them: refuse, retry or alarm.

Messages name the thing, what is wrong and what to do; none may hold a token, a key or a device library identifier.
A message that repeats what a pipeline wrote is limited where it is made (`shown`, `limited`), because it travels
through logs and queues, which have limits of their own.
"""

MAX_SHOWN_CHARACTERS = 100
MAX_MESSAGE_CHARACTERS = 1000
_CUT = "..."


def shown(value: object, *, most: int = MAX_SHOWN_CHARACTERS) -> str:
    """A value as a message repeats it: control characters escaped, and cut to `most` characters."""
    text = value if isinstance(value, str) else str(value)
    text = text[: most + 1]  # what is cut off need not be escaped
    escaped = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return escaped if len(escaped) <= most else escaped[: most - len(_CUT)] + _CUT


def limited(message: str) -> str:
    """A whole message on one line, cut to `MAX_MESSAGE_CHARACTERS`."""
    return shown(message, most=MAX_MESSAGE_CHARACTERS)


class PasswireError(Exception):
    """The root of every error that this code raises on purpose."""


class RefusedError(PasswireError):
    """The input is wrong and stays wrong: refuse it, name it, do not retry."""


class TransientError(PasswireError):
    """Nothing is wrong with the input: the same call may succeed later."""


class ConfigurationError(PasswireError):
    """The deployment is wrong (a missing secret, an expired certificate): alarm, keep the work, a person must act."""


def loggable(error: Exception) -> str:
    """What a log line says of any error: our own messages hold no secret, those of others may."""
    return str(error) if isinstance(error, PasswireError) else type(error).__name__
