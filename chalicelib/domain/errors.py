"""The errors of the service, by what the caller can do about them: refuse, retry or alarm.

Messages name the thing, what is wrong and what to do; none may hold a token, a key or a device library identifier.
"""


class PasswireError(Exception):
    """The root of every error that this code raises on purpose."""


class RefusedError(PasswireError):
    """The input is wrong and stays wrong: refuse it, name it, do not retry."""


class TransientError(PasswireError):
    """Nothing is wrong with the input: the same call may succeed later."""


class ConfigurationError(PasswireError):
    """The deployment is wrong (a missing secret, an expired certificate): alarm, keep the work, a person must act."""
