"""What a backup or a restore can end with."""


class BackupError(Exception):
    """It was not done, or not to its end; the message says what to do."""
