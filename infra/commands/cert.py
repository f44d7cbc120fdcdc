"""`cert`: the certificates of a stage's pass types, from Apple's portal to the functions."""

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from chalicelib.aws.secrets import KEEP_SECONDS
from chalicelib.flows.check_certificates import WARNING_DAYS
from infra.commands.options import JsonOption, StageOption
from infra.core.private_files import open_private
from infra.core.terminal import printable, standard_error, standard_output, styled, write_json, write_line
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import Password, read
from infra.operate.certificates.stage import StageCertificates, Status

PASSWORD_VARIABLE = "PASSWIRE_CERT_PASSWORD"
WIDTH_OF_A_PIPE = 300
"""Whoever reads a pipe wants each row on one line."""

app = typer.Typer(name="cert", help="Certificates: request, import, status, rotate.", no_args_is_help=True)
PassTypeArgument = Annotated[str, typer.Argument(metavar="PASS_TYPE", help="Such as pass.com.acme.boarding.")]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="All that you have, in any order: .cer, .pem, .p12, the key, WWDR intermediates, `AuthKey_*.p8`.",
        exists=True,
        dir_okay=False,
    ),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help=f"Holds the password of a .p12 or key; else {PASSWORD_VARIABLE} of the environment, else it is asked for.",
        exists=True,
        dir_okay=False,
    ),
]
KeyIdOption = Annotated[
    str | None,
    typer.Option("--apns-key-id", help="Id of the APNs key, where its file is not called `AuthKey_<id>.p8`."),
]


@app.command()
def request(
    pass_type: PassTypeArgument,
    stage: StageOption = "dev",
    output: Annotated[
        Path | None, typer.Option(help="Where the request goes; PASS_TYPE.csr if not given. Nothing is overwritten.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a key, and the signing request (CSR) that Apple's portal makes a certificate of.

    The key waits in Secrets Manager and lies on nobody's disk: whoever of the team gets the certificate can import it.
    Repeated, the request is the same one.

    Example: python -m infra cert request pass.com.acme.boarding --stage prod
    """
    progress = standard_error()
    with progress.status("making the key"):
        made = StageCertificates(stage).request(pass_type)
    target = output or Path(f"{pass_type}.csr")
    try:
        with open_private(target, "xb") as file:
            file.write(made)
    except FileExistsError:
        if target.read_bytes() != made:
            raise CertificateError(f"{target} is there and is something else; give another --output") from None
    if as_json:
        write_json({"pass_type_identifier": pass_type, "request": str(target)}, indent=None)
        return
    write_line(str(target))
    progress.print(
        "next: upload it at developer.apple.com/account, Certificates, +, Pass Type ID Certificate; then run: "
        f"python -m infra cert import {pass_type} pass.cer --stage {stage}"
    )


@app.command("import")
def import_(
    pass_type: PassTypeArgument,
    files: FilesArgument,
    stage: StageOption = "dev",
    password_file: PasswordFileOption = None,
    apns_key_id: KeyIdOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Store a pass type's first certificate, once all that belongs to it is there and fits together.

    The key is that of `cert request`, unless a file holds it; the intermediate is Apple's G4, unless a file holds
    another. With an APNs key, pushes are sent with it; else with the certificate.

    Example: python -m infra cert import pass.com.acme.boarding pass.cer AuthKey_4SVKWF966R.p8 --stage prod
    """
    material = read(files, password=_password(password_file), apns_key_id=apns_key_id)
    with standard_error().status("storing"):
        stored = StageCertificates(stage).add(pass_type, material, now=datetime.now(UTC))
    _show([stored], as_json=as_json)


@app.command()
def rotate(
    pass_type: PassTypeArgument,
    files: FilesArgument,
    stage: StageOption = "dev",
    password_file: PasswordFileOption = None,
    apns_key_id: KeyIdOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Replace a certificate, its key, its intermediate or the APNs key; what is not given stays.

    It must be of the same pass type and team, and not end before the one that is there. Functions use it within five
    minutes; no device notices.

    Example: python -m infra cert rotate pass.com.acme.boarding renewed.cer --stage prod
    """
    material = read(files, password=_password(password_file), apns_key_id=apns_key_id)
    with standard_error().status("storing"):
        stored = StageCertificates(stage).replace(pass_type, material, now=datetime.now(UTC))
    _show([stored], as_json=as_json)
    standard_error().print(f"every function uses it within {KEEP_SECONDS / 60:.0f} minutes")


@app.command()
def status(
    pass_types: Annotated[
        list[str] | None, typer.Argument(metavar="[PASS_TYPE]...", help="All of the stage if not given.")
    ] = None,
    stage: StageOption = "dev",
    days: Annotated[int, typer.Option(help="Fail where no more than so many days are left.")] = WARNING_DAYS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show whose certificates there are, how pushes are sent, and when certificate and intermediate end.

    Exit code 0: all hold for more than --days. 1: one does not, or cannot be used, or there is none.

    Example: python -m infra cert status --stage prod --days 45 --json
    """
    with standard_error().status("looking"):
        found = StageCertificates(stage).status(pass_types or [], now=datetime.now(UTC))
    if not found:
        raise CertificateError(f"stage {stage} has no certificate; to begin, run: python -m infra cert request")
    _show(found, as_json=as_json)
    if any(one.days_left is None or one.days_left <= days for one in found):
        raise typer.Exit(1)


def _show(found: list[Status], *, as_json: bool) -> None:
    if as_json:
        write_json([asdict(one) for one in found], default=datetime.isoformat)
        return
    names = ("pass type", "team", "certificate until", "intermediate until", "days left", "pushes with")
    table = Table(*(Column(name, overflow="fold") for name in names), box=None)
    for one in found:
        if one.certificate_ends_at and one.intermediate_ends_at:
            days_left = one.days_left or 0
            color = "red" if days_left < 0 else "yellow" if days_left <= WARNING_DAYS else "green"
            table.add_row(
                one.pass_type_identifier,
                one.team_identifier,
                f"{one.certificate_ends_at:%Y-%m-%d}",
                f"{one.intermediate_ends_at:%Y-%m-%d}",
                styled(str(days_left), color),
                one.pushes_with,
            )
    console = standard_output()
    console.width = console.width if console.is_terminal else WIDTH_OF_A_PIPE
    if table.row_count:
        console.print(table)
    for one in found:
        if one.problem:
            console.print(styled("unusable:", "red", f" {one.problem}"))


def _password(file: Path | None) -> Password:
    """Where a password comes from: never from the command line, which every process of the machine can read."""

    def give(name: str) -> str:
        if file is not None:
            return file.read_text().rstrip("\r\n")
        if PASSWORD_VARIABLE in os.environ:
            return os.environ[PASSWORD_VARIABLE]
        if not sys.stdin.isatty():
            raise CertificateError(f"{name}: is encrypted; give --password-file, or set {PASSWORD_VARIABLE}")
        try:
            return str(typer.prompt(f"password of {printable(name)}", hide_input=True, err=True))
        except typer.Abort:  # how a question ends that is answered by Ctrl-C
            raise KeyboardInterrupt from None

    return give
