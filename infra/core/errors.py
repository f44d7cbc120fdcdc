"""The error of a command line that cannot be meant."""

from chalicelib.core.errors import RefusedError


class InvalidValueError(RefusedError):
    """A value of the command line is invalid; nothing was done, and the exit code is 2."""
