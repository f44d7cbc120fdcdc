"""What a deployment can end with."""


class DeployError(Exception):
    """A deployment that did not happen, or was rolled back; the message says what to do."""
