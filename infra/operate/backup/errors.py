"""The error of backups and restores."""

from chalicelib.core.errors import PasswireError


class BackupError(PasswireError):
    """A backup or restore failed or is incomplete; the message says what to do."""
