"""Where templates come from: the folders that are packaged with the app."""

from pathlib import Path

from chalicelib.domain.errors import RefusedError
from chalicelib.domain.template import Template

PACKAGED = Path(__file__).parent / "templates"
SUFFIX = ".pass"


class TemplateMissingError(RefusedError):
    """An item names a template that does not exist."""


class Templates:
    """Templates by name, each parsed once."""

    def __init__(self, folder: Path = PACKAGED) -> None:
        self._folder = folder
        self._parsed: dict[str, Template] = {}

    def get(self, name: str) -> Template:
        """The template of that name.

        Raises:
            TemplateMissingError: there is none; the message names those that there are.
            TemplateError: its folder cannot be a template.
        """
        if name not in self._parsed:
            if name not in self.names():
                known = ", ".join(self.names()) or "none"
                raise TemplateMissingError(f"template '{name}' does not exist; there is {known}")
            self._parsed[name] = Template.parse(name, read_folder(self._folder / f"{name}{SUFFIX}"))
        return self._parsed[name]

    def names(self) -> list[str]:
        """Of all templates that there are, sorted."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))


def read_folder(folder: Path) -> dict[str, bytes]:
    """A template folder's files by path relative to it, hidden ones left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
