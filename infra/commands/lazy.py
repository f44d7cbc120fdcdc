"""Imports a command's module when the command is used: importing all of them takes most of a second."""

from collections import UserDict
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import islice
from typing import Any

import typer
from typer.core import MarkupMode, TyperGroup
from typer.main import get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo

from infra.core import program

GLOBAL_OPTIONS = ("--profile", "--region")
"""Options of the command line itself that may also follow a command."""


def group_of(locations: Mapping[str, str]) -> type[TyperGroup]:
    """Return a class of command groups that have these commands in addition to their own.

    Args:
        locations: where in `infra.commands` each command is, by its name: `module.function`, or `module.app` for a
            group.
    """

    class Group(TyperGroup):
        """Typer's group, with these commands."""

        def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Typer's own
            super().__init__(**options)
            self.commands = _Commands({**self.commands, **locations}, self.rich_markup_mode)

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's own
            """Parse the group's own options, global ones also after a command."""
            return super().parse_args(ctx, hoisted(args) if ctx.parent is None else args)

    return Group


def hoisted(arguments: Sequence[str]) -> list[str]:
    """Return arguments with the global options and their values moved to the front; what follows `--` is left alone."""
    front: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in GLOBAL_OPTIONS:
            front += [argument, *islice(remaining, 1)]
        elif argument.partition("=")[0] in GLOBAL_OPTIONS:
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


class _Commands(UserDict[str, Any]):
    """Commands by name; a command that was not used yet is its location."""

    def __init__(self, commands: dict[str, Any], markup: MarkupMode) -> None:
        super().__init__(commands)
        self._markup = markup

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a type that Typer does not name
        found = super().__getitem__(name)
        if isinstance(found, str):
            self[name] = found = _load(name, found, markup=self._markup)
        return found


def _load(name: str, location: str, *, markup: MarkupMode) -> Any:  # noqa: ANN401 - a type that Typer does not name
    module, _, attribute = location.partition(".")
    found = getattr(import_module(f"infra.commands.{module}"), attribute)
    if isinstance(found, typer.Typer):
        info = TyperInfo(found, name=name)
        group = get_group_from_info(info, pretty_exceptions_short=True, suggest_commands=True, rich_markup_mode=markup)
        return _renamed(group)
    command = CommandInfo(name, callback=found)
    return _renamed(get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=markup))


def _renamed(command: Any) -> Any:  # noqa: ANN401 - a type that Typer does not name
    """Return a command whose examples, and those of its commands, name the program as it was called."""
    if command.help:
        command.help = program.renamed(command.help)
    commands = command.commands if isinstance(command, TyperGroup) else {}
    for own in commands.data.values() if isinstance(commands, _Commands) else commands.values():
        if not isinstance(own, str):
            _renamed(own)
    return command
