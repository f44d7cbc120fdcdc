"""`schema`: prints the JSON Schema of pass items, for pipelines that validate before they write."""

from pathlib import Path
from typing import Annotated

import typer

from chalicelib.passes.format.schema import item_schema
from chalicelib.passes.template import Template
from infra.commands.options import JsonOption
from infra.core.terminal import write_json
from infra.operate.templates.folder import opened_template, read_checked, template_name


def schema(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[NAME.pass]",
            help="A template's folder, to allow only its fields; - for a zip on standard input. Default: any field.",
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the JSON Schema (2020-12) of a pass item; with --json, on one line.

    Example: passwire schema chalicelib/templates/boarding.pass
    """
    field_keys = None
    if folder is not None:
        with opened_template(folder) as path:
            template = Template.parse(template_name(path), read_checked(path)[0])
        field_keys = sorted(template.places)
    write_json(item_schema(field_keys), indent=None if as_json else 2)
