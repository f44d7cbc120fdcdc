"""The error of whatever needs a stage."""

from chalicelib.core.errors import PasswireError


class StageError(PasswireError):
    """A stage cannot be used: it is not deployed, not reachable, or incomplete. The message says what to do."""
