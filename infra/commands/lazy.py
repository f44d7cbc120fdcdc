"""Commands whose modules are imported once they are asked for: all of them together take most of a second."""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import MarkupMode, TyperGroup
from typer.main import get_command_from_info, get_group_from_info
from typer.models import CommandInfo, TyperInfo


def having(places: Mapping[str, str]) -> type[TyperGroup]:
    """A group that has these commands beside its own.

    Args:
        places: by name, where in `infra.commands` each is: `module.function`, or `module.app` for a group.
    """

    class Group(TyperGroup):
        """Typer's, with these commands."""

        def __init__(self, **options: Any) -> None:  # noqa: ANN401 - Typer's own
            super().__init__(**options)
            self.commands = _Commands({**self.commands, **places}, self.rich_markup_mode)

    return Group


class _Commands(MutableMapping[str, Any]):
    """Commands, or where they are until they are asked for."""

    def __init__(self, commands: dict[str, Any], markup: MarkupMode) -> None:
        self._commands, self._markup = commands, markup

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - Typer's own, which it does not name
        found = self._commands[name]
        if isinstance(found, str):
            self._commands[name] = found = _load(name, found, markup=self._markup)
        return found

    def __setitem__(self, name: str, command: Any) -> None:  # noqa: ANN401 - likewise
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __contains__(self, name: object) -> bool:
        return name in self._commands

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


def _load(name: str, place: str, *, markup: MarkupMode) -> Any:  # noqa: ANN401 - likewise
    module, _, attribute = place.partition(".")
    found = getattr(import_module(f"infra.commands.{module}"), attribute)
    if isinstance(found, typer.Typer):
        group = TyperInfo(found, name=name)
        return get_group_from_info(group, pretty_exceptions_short=True, suggest_commands=True, rich_markup_mode=markup)
    command = CommandInfo(name, callback=found)
    return get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=markup)
