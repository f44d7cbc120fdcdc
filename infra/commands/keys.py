"""`keys`: rotates and revokes the authentication keys of a stage."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from chalicelib.aws.secrets import KEEP_SECONDS
from infra.commands.confirmation import confirm, require_answer
from infra.commands.options import JsonOption, StageOption, YesOption
from infra.core.moments import format_moment
from infra.core.terminal import standard_error, write_json, write_line, write_table
from infra.operate.keys import KeyStatus, StageKeys

app = typer.Typer(name="keys", help="Authentication keys: status, rotate, revoke.", no_args_is_help=True)
MINUTES = KEEP_SECONDS / 60


@app.command()
def status(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """List the authentication keys of a stage, without their secrets.

    Tokens of passes and the key of download links are derived from them. A token begins with the id of its key.

    Example: passwire keys status --stage prod
    """
    _show(_keys(stage).status(), as_json=as_json)


@app.command()
def rotate(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Add an authentication key for new passes and download links. Installed passes and existing links stay valid.

    All functions accept the key within five minutes, and new passes and links use it after ten. Devices need nothing
    new.

    Example: passwire keys rotate --stage prod
    """
    with standard_error().status("storing"):
        added = _keys(stage).rotate()
    if as_json:
        write_json(_described(added))
    else:
        write_line(f"added key {added.key_id}; new passes and links use it from {_begin(added)} on")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Id of the key, as `keys status` prints it.")],
    stage: StageOption = "dev",
    *,
    links: Annotated[
        bool, typer.Option("--links", help="Revoke only its download links; its passes stay valid.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Revoke an authentication key that has leaked: passes and download links that were issued with it are refused.

    Phones keep showing these passes, but no longer update them; people have to add them again. The last key cannot be
    revoked: rotate first. All functions refuse the key within five minutes.

    Example: passwire keys revoke 1 --links --stage prod
    """
    require_answer(yes=yes)
    what = "the download links" if links else "all installed passes and download links"
    confirm(f"stage {stage}: end {what} that were issued with key {key_id}?", yes=yes)
    with standard_error().status("storing"):
        _keys(stage).revoke(key_id, only_links=links)
    if as_json:
        write_json({"key_id": key_id, "revoked": "links" if links else "passes and links"})
    else:
        what = "the links of key" if links else "key"
        write_line(f"revoked {what} {key_id}; all functions refuse it within {MINUTES:.0f} minutes")


def _keys(stage: str) -> StageKeys:
    return StageKeys(stage, clock=time.time)


def _begin(key: KeyStatus) -> str:
    return format_moment(key.issues_from) if key.issues_from else "the first deployment"


def _described(key: KeyStatus) -> dict[str, object]:
    return {**asdict(key), "issues_from": format_moment(key.issues_from) if key.issues_from else None}


def _show(found: list[KeyStatus], *, as_json: bool) -> None:
    if as_json:
        write_json([_described(key) for key in found])
        return
    head = ("key", "for new passes from", "new passes use it", "its links are valid")
    write_table(head, [(key.key_id, _begin(key), _yes(key.issues), _yes(key.links)) for key in found])


def _yes(value: bool) -> str:  # noqa: FBT001 - the cell of a table
    return "yes" if value else "no"
