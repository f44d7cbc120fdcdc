"""`image`: uploads images of single passes, such as photos of members."""

from pathlib import Path
from typing import Annotated

import typer

from infra.commands.options import JsonOption, StageOption
from infra.core.files import STANDARD, check_inputs
from infra.core.terminal import standard_error, write_json, write_line, write_table
from infra.operate.passes.images import ImageUploads
from infra.stage.stage import Stage

app = typer.Typer(name="image", help="Images of single passes: put.", no_args_is_help=True)


@app.callback()
def image() -> None:
    """Images of single passes: put."""


@app.command()
def put(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="PNGs, such as thumbnail@2x.png; - for standard input.",
        ),
    ],
    stage: StageOption = "dev",
    *,
    as_json: JsonOption = False,
) -> None:
    """Upload images for single passes, and print their keys for the attribute `images` of items.

    A key is the hash of the content: the same image has the same key in every stage.

    Example: passwire image put photos/ada/thumbnail@2x.png --stage dev
    """
    check_inputs(*files)
    with standard_error().status("uploading"):
        uploads = ImageUploads(Stage.open(stage), Path())
        keys = {
            str(file): uploads.put_standard_input() if str(file) == STANDARD else uploads.put(file) for file in files
        }
    if as_json:
        write_json(keys)
        return
    if len(keys) == 1:
        write_line(*keys.values())
    else:
        write_table(("file", "key"), list(keys.items()))
