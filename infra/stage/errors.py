"""What a deployment can end with."""

from chalicelib.core.errors import PasswireError


class DeployError(PasswireError):
    """A deployment that did not happen, or was rolled back; the message says what to do."""
