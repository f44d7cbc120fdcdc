"""The one rule for confirmation: `--yes` agrees; at a terminal, a person is asked; otherwise the command is refused."""

import typer

from chalicelib.core.errors import RefusedError
from infra.core.terminal import is_interactive, printable, standard_error

NOTIFIED_WITHOUT_ASKING = 100
"""A command that notifies more devices than this asks first."""


class DeclinedError(RefusedError):
    """The person answered a question with no."""


def require_answer(*, yes: bool) -> None:
    """Refuse, before work is done, to run where no person can be asked.

    Raises:
        BadParameter: there is neither a terminal nor `--yes`.
    """
    if not yes and not is_interactive():
        raise typer.BadParameter("confirmation needs a terminal; without one, add --yes", param_hint="--yes")


def is_agreed(question: str, *, yes: bool) -> bool:
    """Return whether a person, or `--yes`, agrees.

    Args:
        question: names what is changed and how much of it.
        yes: `--yes` was given.

    Raises:
        BadParameter: there is neither a terminal nor `--yes`.
        KeyboardInterrupt: Ctrl-C, or the end of the input.
    """
    if yes:
        standard_error().print(f"{question} yes, by --yes")
        return True
    if not is_interactive():
        standard_error().print(question)
    require_answer(yes=yes)
    try:
        return typer.confirm(printable(question), err=True)
    except typer.Abort:  # Typer's exception for Ctrl-C
        raise KeyboardInterrupt from None


def confirm(question: str, *, yes: bool, unchanged: str = "nothing was changed") -> None:
    """Continue only if a person, or `--yes`, agrees.

    Args:
        question: names what is changed and how much of it.
        yes: `--yes` was given.
        unchanged: ends the message if the person declines.

    Raises:
        DeclinedError: the person declined.
        BadParameter, KeyboardInterrupt: as `is_agreed`.
    """
    if not is_agreed(question, yes=yes):
        raise DeclinedError(f"declined; {unchanged}")


def confirm_notification(action: str, *, devices: int, yes: bool, always: bool = False) -> None:
    """Continue without a question if few devices are notified, else as `confirm`.

    Args:
        action: such as `update pass ...`.
        devices: number of devices that the action notifies.
        yes: `--yes` was given.
        always: ask whatever the number is.
    """
    if always or devices > NOTIFIED_WITHOUT_ASKING:
        confirm(f"{action} and notify {counted(devices, 'device')}?", yes=yes)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 device` or `2,000 devices`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{'es' if noun.endswith(('s', 'ch')) else 's'}"
