"""Options and arguments that several commands share, and how their values are read."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from chalicelib.core.errors import PasswireError, excerpt
from chalicelib.core.identifiers import TEMPLATE_NAME_RULE, PassId, is_template_name
from infra.commands.completion import complete_pass_types, complete_stages, complete_templates
from infra.core.moments import FORMS, parse_moment
from infra.stage.local import default_stage, use_stage
from infra.stage.stage import check_stage_name

STAGE_VARIABLE = "PASSWIRE_STAGE"

T = TypeVar("T")
R = TypeVar("R")


def read_value(option: str, read: Callable[[T], R], value: T) -> R:
    """Return a value of the command line as `read` parses it.

    Args:
        option: name of the option or argument, for the message.
        read: parses the value.
        value: as it was given.

    Raises:
        BadParameter: the value is invalid; the exit code is 2.
    """
    try:
        return read(value)
    except (PasswireError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def chosen_stage(context: typer.Context, given: str | None) -> str | None:
    """Return the stage that was chosen for a command.

    `--stage` after the command takes precedence, then `--stage` before it, then `PASSWIRE_STAGE`.

    Args:
        context: of the command.
        given: the value of the command's option.

    Returns:
        The valid name of a stage; None if none of them names one.

    Raises:
        BadParameter: the name is not valid.
    """
    level: Any = context
    while level is not None:
        source = level.get_parameter_source("stage")
        if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT"):
            name = given if level is context else level.params["stage"]
            return read_value("--stage", check_stage_name, str(name))
        level = level.parent
    return None


def stage_or_default(context: typer.Context, value: str) -> str:
    """Return the chosen stage, or the default one, and point the AWS SDK at the local run for its stage.

    `--profile` and `--region` choose an account, so that the local run is not the default with them.
    """
    options = context.find_root().params
    chosen = chosen_stage(context, value)
    if chosen is None:
        chosen = value if options.get("profile") or options.get("region") else default_stage()
    if not context.resilient_parsing:
        use_stage(chosen)
    return chosen


def required_stage(context: typer.Context, value: str) -> str:
    """Return the chosen stage, as `stage_or_default` does.

    Raises:
        BadParameter: none was chosen.
    """
    if chosen_stage(context, value) is None and not context.resilient_parsing:
        raise typer.BadParameter("name the stage: this command has no default", param_hint="--stage")
    return stage_or_default(context, value)


def optional_stage(context: typer.Context, value: str | None) -> str | None:
    """Return the chosen stage, as `stage_or_default` does, or None if none was chosen."""
    return None if chosen_stage(context, value) is None else stage_or_default(context, str(value))


def check_pass_type_option(context: typer.Context, text: str | None) -> str | None:
    """Return a pass type identifier if it is valid; nothing is checked while a shell completes.

    Raises:
        BadParameter: it is not.
    """
    from infra.operate.certificates.stage import check_pass_type  # noqa: PLC0415 - it loads cryptography

    return text if not text or context.resilient_parsing else read_value("--type", check_pass_type, text)


def check_template_option(context: typer.Context, text: str | None) -> str | None:
    """Return the name of a template if it is valid; nothing is checked while a shell completes.

    Raises:
        BadParameter: it is not.
    """
    if text is None or context.resilient_parsing or is_template_name(text):
        return text
    raise typer.BadParameter(f"{excerpt(text)!r} is not a template name: {TEMPLATE_NAME_RULE}", param_hint="--template")


FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="NAME.pass",
        help="A designer's folder, or Pass Designer's NAME.pkpasstemplate; - for a zip of it on standard input.",
    ),
]
PassArgument = Annotated[str, typer.Argument(metavar="PASS", help="`<passTypeIdentifier>/<serialNumber>`")]
StageOption = Annotated[
    str,
    typer.Option(
        "--stage",
        "-s",
        help="Name of the stage; part of the name of each of its resources. While the local run is up, `local` is the "
        "default.",
        callback=stage_or_default,
        autocompletion=complete_stages,
    ),
]
OptionalStageOption = Annotated[
    str | None,
    typer.Option(
        "--stage",
        "-s",
        help="Name of the stage, such as one of `PASSWIRE_STAGE`. Default: none, so that no AWS account is needed.",
        callback=optional_stage,
        autocompletion=complete_stages,
    ),
]
NamedStageOption = Annotated[
    str,
    typer.Option(
        "--stage",
        "-s",
        help="Name of the stage. Required: no default, but `PASSWIRE_STAGE` counts.",
        callback=required_stage,
        autocompletion=complete_stages,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value, for scripts.")]
LinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")]
SinceOption = Annotated[str, typer.Option("--since", help=f"Start time: {FORMS}.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Make changes without asking for confirmation.")]
NotifyYesOption = Annotated[bool, typer.Option("--yes", help="Notify more than 100 devices without asking.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]
PassTypeOption = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="PASS_TYPE",
        help="Only this pass type.",
        callback=check_pass_type_option,
        autocompletion=complete_pass_types,
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        help="Only passes of this template.",
        callback=check_template_option,
        autocompletion=complete_templates,
    ),
]
WebServiceUrlOption = Annotated[
    str | None,
    typer.Option(help="URL to write into passes, if phones use neither the URL of API Gateway nor DomainName."),
]
ApnsPushTypeOption = Annotated[
    str | None, typer.Option(help="Value of the header apns-push-type: alert or background.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A stack parameter; parameters that are not given keep their values."
    ),
]


def read_parameters(
    texts: list[str] | None, *, web_service_url: str | None, apns_push_type: str | None
) -> dict[str, str]:
    """Return the stack parameters that options name, by name.

    Raises:
        BadParameter: one of them is unknown or invalid.
    """
    from infra.deploy import parameters  # noqa: PLC0415 - it reads the template, which few commands need

    return read_value(
        "--set",
        lambda given: parameters.read_parameters(given, web_service_url=web_service_url, apns_push_type=apns_push_type),
        texts or [],
    )


def read_since(text: str, *, option: str = "--since") -> float:
    """Return the time that an option names, in epoch seconds.

    Raises:
        BadParameter: the text does not name a time.
    """
    return read_value(option, lambda given: parse_moment(given, now=time.time()), text)


def read_pass(text: str) -> PassId:
    """Return the pass that an argument names.

    Raises:
        BadParameter: the text is not a pass id.
    """
    return read_value("PASS", PassId.parse, text)
