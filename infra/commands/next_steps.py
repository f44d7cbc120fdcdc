"""Prints the command to run next, with the names that a command used, to standard error."""

from chalicelib.core.errors import PasswireError
from infra.core.program import command
from infra.core.terminal import standard_error
from infra.stage.stage import Stage


def print_next(*arguments: str, purpose: str) -> None:
    """Print the next command.

    Args:
        arguments: as `command` takes them.
        purpose: what it is for, such as `to issue a pass`.
    """
    standard_error().print(f"next, {purpose}: {command(*arguments)}")


def after_deployment(stage: Stage) -> None:
    """Print what a stage needs before it can issue passes, or how to check it."""
    if known_pass_types(stage):
        print_next("doctor", "--stage", stage.name, purpose="to check the stage")
    else:
        print_next("cert request", "PASS_TYPE", "--stage", stage.name, purpose="to request a certificate")


def known_pass_types(stage: Stage) -> list[str]:
    """Return the pass types that have credentials; none if the caller may not list them, as in a deployment by CI."""
    try:
        return stage.secrets.pass_types()
    except PasswireError:
        return []
