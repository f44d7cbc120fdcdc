"""Imports a command's module when the command is used: importing all of them takes most of a second."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import MarkupMode, TyperGroup
from typer.main import get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo


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

    return Group


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
        group = TyperInfo(found, name=name)
        return get_group_from_info(group, pretty_exceptions_short=True, suggest_commands=True, rich_markup_mode=markup)
    command = CommandInfo(name, callback=found)
    return get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=markup)
