"""The error of deployments."""

from infra.stage.errors import StageError


class DeployError(StageError):
    """A deployment did not happen, or was rolled back. The message says what to do."""
