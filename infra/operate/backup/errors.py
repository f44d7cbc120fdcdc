"""What a backup or a restore can end with."""

from chalicelib.core.errors import PasswireError


class BackupError(PasswireError):
    """It was not done, or not to its end; the message says what to do."""
