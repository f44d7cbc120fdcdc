"""`cert`: manages the certificates of a stage's pass types."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from chalicelib.aws.secrets import KEEP_SECONDS
from chalicelib.aws.templates import SUFFIX, packaged_names
from chalicelib.flows.check_certificates import WARNING_DAYS
from infra.commands.completion import complete_pass_types
from infra.commands.next_steps import print_next
from infra.commands.options import JsonOption, StageOption, read_value
from infra.core.files import STANDARD, PathError, check_inputs, check_new, opened
from infra.core.moments import format_moment
from infra.core.private_files import open_private
from infra.core.program import command
from infra.core.terminal import (
    is_interactive,
    printable,
    standard_error,
    standard_output,
    styled,
    write_json,
    write_line,
    write_table,
    write_text,
)
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import Material, Password, read
from infra.operate.certificates.nfc import REMEDY, RefusedPasses, find_refused_passes_of
from infra.operate.certificates.stage import StageCertificates, Status, check_pass_type
from infra.stage.errors import StageError
from infra.stage.stage import Stage

PASSWORD_VARIABLE = "PASSWIRE_CERT_PASSWORD"

app = typer.Typer(name="cert", help="Certificates: request, import, status, rotate.", no_args_is_help=True)


def read_pass_type(text: str) -> str:
    """Return a pass type identifier of the command line.

    Raises:
        BadParameter: it is not valid.
    """
    return read_value("PASS_TYPE", check_pass_type, text)


PassTypeArgument = Annotated[
    str,
    typer.Argument(
        metavar="PASS_TYPE",
        help="Such as pass.com.acme.boarding.",
        callback=read_pass_type,
        autocompletion=complete_pass_types,
    ),
]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Any of these, in any order: .cer, .pem, .p12, the key, WWDR intermediates, `AuthKey_*.p8`; - for "
        "standard input.",
    ),
]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help=f"File with the password of a .p12 or key; - for standard input. Default: the variable "
        f"{PASSWORD_VARIABLE}, else a prompt.",
    ),
]
KeyIdOption = Annotated[
    str | None,
    typer.Option("--apns-key-id", help="Id of the APNs key, if its file is not named `AuthKey_<id>.p8`."),
]


@app.command()
def request(
    pass_type: PassTypeArgument,
    stage: StageOption = "dev",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to create, or - for standard output. Default: PASS_TYPE.csr."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Generate a key and a certificate signing request (CSR) for Apple's developer portal.

    The key is stored in Secrets Manager, not on disk, so that any team member can import the certificate. Running the
    command again writes the same request.

    Example: passwire cert request pass.com.acme.boarding --stage prod
    """
    target = output or Path(f"{pass_type}.csr")
    check_new(target, overwrite=True)  # a request that is there already is compared below
    with standard_error().status("generating the key"):
        content = StageCertificates(stage).request(pass_type)
    if str(target) == STANDARD:
        write_text(content.decode().rstrip())
    else:
        _write_request(target, content)
        if as_json:
            write_json({"pass_type_identifier": pass_type, "request": str(target)})
        else:
            write_line(str(target))
    standard_error().print(
        "next, upload it at developer.apple.com/account (Certificates, +, Pass Type ID Certificate), download the "
        f"certificate, and run: {command('cert import', pass_type, 'pass.cer', '--stage', stage)}"
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
    """Store a pass type's first certificate, after checking that certificate, key and intermediate match.

    The key is that of `cert request` unless a file contains one. The intermediate is Apple's G4 unless a file contains
    another. Pushes are sent with the APNs key if there is one, else with the certificate.

    Example: passwire cert import pass.com.acme.boarding pass.cer AuthKey_4SVKWF966R.p8 --stage prod
    """
    material = _read(files, password_file, apns_key_id)
    with standard_error().status("storing"):
        stored = StageCertificates(stage).add(pass_type, material, now=datetime.now(UTC))
    _show([stored], as_json=as_json)
    template = str(Path(f"chalicelib/templates/{packaged_names()[0]}{SUFFIX}"))
    print_next("template push", template, "--stage", stage, purpose="to store a template, such as the packaged one")


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
    """Replace a certificate, its key, its intermediate or the APNs key; what is not given is kept.

    A certificate must be of the same pass type and team, and must not expire before the current one. Functions use it
    within five minutes. Devices need nothing new.

    Example: passwire cert rotate pass.com.acme.boarding renewed.cer --stage prod
    """
    material = _read(files, password_file, apns_key_id)
    with standard_error().status("storing"):
        stored = StageCertificates(stage).replace(pass_type, material, now=datetime.now(UTC))
    _show([stored], as_json=as_json)
    standard_error().print(f"all functions use it within {KEEP_SECONDS / 60:.0f} minutes")


@app.command()
def status(
    pass_types: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PASS_TYPE]...", help="Default: all of the stage.", autocompletion=complete_pass_types),
    ] = None,
    stage: StageOption = "dev",
    days: Annotated[
        int, typer.Option(min=0, help="Fail if a certificate expires within this many days.")
    ] = WARNING_DAYS,
    *,
    as_json: JsonOption = False,
) -> None:
    """List certificates: team, expiry of certificate and intermediate, and what pushes are sent with.

    Also lists passes that phones refuse because they need an NFC certificate, among the first 1,000 of the stage.

    Exit code 0: all are valid for more than --days. 1: one is not, or is unusable, or the stage has none, or phones
    refuse passes.

    Example: passwire cert status --stage prod --days 45 --json
    """
    with standard_error().status("reading certificates"):
        found = StageCertificates(stage).status(list(map(read_pass_type, pass_types or [])), now=datetime.now(UTC))
        refused = _refused(stage, found)
    if not found:
        raise CertificateError(
            f"stage {stage} has no certificate; to request one, run: "
            f"{command('cert request', 'PASS_TYPE', '--stage', stage)}"
        )
    _show(found, refused, as_json=as_json)
    if refused or any(row.days_left is None or row.days_left <= days for row in found):
        raise typer.Exit(1)


def _refused(stage: str, found: list[Status]) -> list[RefusedPasses]:
    """Find passes that phones refuse; none if the stage has certificates, but is not deployed yet."""
    try:
        deployed = Stage.open(stage)
    except StageError:
        return []
    return find_refused_passes_of(deployed, {row.pass_type_identifier: row.nfc for row in found if row.nfc is not None})


def _write_request(path: Path, content: bytes) -> None:
    """Create the file of a request; one that is there with the same content is left as it is.

    Raises:
        PathError: it has other content.
    """
    try:
        with open_private(path, "xb") as file:
            file.write(content)
    except FileExistsError:
        if path.read_bytes() != content:
            raise PathError(f"{path} exists with other content; give another --output") from None


def _show(found: list[Status], refused: Sequence[RefusedPasses] = (), *, as_json: bool) -> None:
    if as_json:
        described = [
            asdict(row)
            | {"refused": [str(each) for each in refused if each.pass_type_identifier == row.pass_type_identifier]}
            for row in found
        ]
        write_json(described, default=format_moment)
        return
    rows = []
    for row in found:
        if row.certificate_ends_at and row.intermediate_ends_at:
            days_left = row.days_left or 0
            color = "red" if days_left < 0 else "yellow" if days_left <= WARNING_DAYS else "green"
            cells: list[str | Text] = [
                row.pass_type_identifier,
                row.team_identifier or "",
                f"{row.certificate_ends_at:%Y-%m-%d}",
                f"{row.intermediate_ends_at:%Y-%m-%d}",
                styled(str(days_left), color),
                row.pushes_with or "",
                "yes" if row.nfc else "no",
            ]
            rows.append(cells)
    if rows:
        names = ("pass type", "team", "certificate until", "intermediate until", "days left", "pushes with", "NFC")
        write_table(names, rows, numbers=("days left",))
    for row in found:
        if row.problem:
            standard_output().print(styled("unusable:", "red", f" {row.problem}"))
    for each in refused:
        standard_output().print(styled("refused by phones:", "red", f" {each}; {REMEDY}"))


def _read(files: list[Path], password_file: Path | None, apns_key_id: str | None) -> Material:
    """Read the certificates and keys of a command line."""
    check_inputs(*files, password_file)
    return read(files, password=_password(password_file), apns_key_id=apns_key_id)


def _password(file: Path | None) -> Password:
    """Return the source of passwords. Never an argument: every process of the machine can read arguments."""

    @cache
    def password_of_file(path: Path) -> str:
        with opened(path) as text:
            return text.read().decode().rstrip("\r\n")

    def read_password(name: str) -> str:
        if file is not None:
            return password_of_file(file)
        if PASSWORD_VARIABLE in os.environ:
            return os.environ[PASSWORD_VARIABLE]
        if not is_interactive():
            raise CertificateError(f"{name}: encrypted; give --password-file, or set {PASSWORD_VARIABLE}")
        try:
            return str(typer.prompt(f"password of {printable(name)}", hide_input=True, err=True))
        except typer.Abort:  # raised by Ctrl-C at the prompt
            raise KeyboardInterrupt from None

    return read_password
