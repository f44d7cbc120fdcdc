"""Writes what is generated in `docs/`: the pages on commands and settings, and the table of the page on cost.

They are made from the command line, the template and the functions' settings. `make docs` runs this module;
tests/unit/test_docs.py checks that the pages are current.
"""

import dataclasses
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

from chalicelib.passes.format.schema import item_schema
from chalicelib.settings import PREFIX, Settings
from infra.commands import app
from infra.commands.options import NotifyYesOption, YesOption
from infra.core import program
from infra.deploy.descriptions import DESCRIPTIONS
from infra.deploy.parameters import SET_BY_DEPLOYER
from infra.deploy.permissions.commands import DEPLOY, DIFF, DOCTOR, FIRST_IN_ACCOUNT
from infra.deploy.permissions.grants import Grant
from infra.deploy.permissions.resources import BY_RESOURCE_TYPE
from infra.deploy.resources import resources

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
MODULE = program.MODULE
COMMAND = program.NAME
COST_COMMAND = "$ passwire cost --devices 100000 --updates-per-day 3"
LOCAL_ONLY = frozenset({"ApnsUrl", "ApnsCa", "PathParameters"})
"""Parameters that the local run sets and a stage on AWS leaves alone."""

CLI_HEAD = """\
# Command line

<!-- Generated from the command line itself by `make docs`. Edit the help texts, not this page. -->

`passwire` and `python -m infra` are the same program. It is installed into `.venv/bin` by `make install`, or by
`pip install -e '.[cli]'` into an environment of your own, and works on the checkout that it was installed from.

Results go to standard output; progress and errors go to standard error. `--json` prints for scripts what a table shows
a person. Colors are used only on a terminal, and not if `NO_COLOR` is set. In a window that is too narrow for a table,
each row becomes a block of lines.

`passwire --install-completion` makes your shell complete commands, options, and the names of stages, templates and pass
types, which it reads from AWS. It completes the name `passwire`, so that must be on the `PATH`.

## Rules for all commands

| subject | rule |
| --- | --- |
| stage | `--stage` or `-s` after the command, else before it, else `PASSWIRE_STAGE`, else `dev` |
| account and region | `--profile` and `--region`, before or after the command, else `AWS_PROFILE`, `AWS_REGION` (or \
`AWS_DEFAULT_REGION`) and the other variables of AWS |
| confirmation | a command that deletes or overwrites, and one that notifies more than 100 devices, asks with the \
number on a terminal; `--yes` agrees; without a terminal and without `--yes` it is refused before anything is changed |
| dry run | `--dry-run` prints what would be done, with the number of devices, and changes nothing |
| files | `-` is standard input or output; an existing file is replaced only with `--overwrite`; a missing folder or \
bucket is reported before any work is done |
| times | ISO 8601 in UTC, such as `2026-11-25T10:00:00Z`; given times may also be `30s`, `10m`, `2h`, \
`7d` or `2w` ago |
| progress | on standard error, and only on a terminal |

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | the command failed, and one sentence says why; or a check found something, such as a fault by `doctor` |
| 2 | an option, an argument or a value is invalid, or `--yes` is missing; nothing was done |
| 3 | `diff` found a difference |
| 130 | interrupted by Ctrl-C; the command says where it stopped and how to continue |

## Commands

"""

OVERVIEW_HEAD = """
## Confirmation, JSON and exit codes of each command

Confirmation: always, or only if more than 100 devices are notified. Every command can also end with 2 and 130.

"""

SETTINGS_HEAD = """\
# Settings

<!-- Generated from the template, `.chalice/config.json` and the functions' settings by `make docs`. Do not edit. -->

A stage has two kinds of settings: parameters of its stack, which a deployment can change, and the size of its
functions, which is in the checkout. The functions read both from environment variables that the stack sets.
"""

PARAMETERS_HEAD = """
## Stack parameters

`passwire deploy --set NAME=VALUE` sets a parameter (also `diff` and `prepare`). A parameter that is not given keeps its
value. `--web-service-url` and `--apns-push-type` are short forms of `--set WebServiceUrl=` and `--set ApnsPushType=`.

"""

OWN_HEAD = """
### Parameters that are not yours to set

The deployer sets `Stage` and `Commit`; the local run sets the others, which keep their defaults on AWS.

"""

FUNCTIONS_HEAD = """
## Functions

Size and time limits are in `.chalice/config.json`, per function, and can differ per stage, as Chalice's documentation
describes. `"lambda_architecture": "arm64"` there, for a stage or for all, runs the functions on Graviton.

"""

ENVIRONMENT_HEAD = """
## Environment variables of the functions

The stack sets them; they are listed for reading a function's configuration, not for editing it.

"""

PERMISSIONS_HEAD = """\
# Permissions of the command line

<!-- Generated from `infra/deploy/permissions/` by `make docs`. Do not edit. -->

IAM actions that `diff`, `deploy` and `doctor` need for one stage. `passwire ci github` writes a CloudFormation template
of roles that have exactly these ([guide](../guides/github-actions.md)). The suite records the calls of each command
against the embedded AWS and compares both ways (`tests/stack/infra/deploy/test_permissions.py`); what CloudFormation
calls with the same credentials is compared with AWS's resource schemas.

`${Stage}` is the stage's name. Resources of a stage begin with `passwire-${Stage}-`, so the rows also cover a stage
whose name continues after a hyphen: `dev` covers `dev-2`.

The credentials for `deploy` can write the code and the policies of functions, and so reach everything that roles of the
account can reach: protect the branch and the environment from which a pipeline deploys.
"""

TOOLS = """
## Environment variables of the command line

| variable | meaning |
| --- | --- |
| `PASSWIRE_STAGE` | the stage of commands that are called without `--stage` |
| `AWS_PROFILE`, `AWS_REGION`, `AWS_DEFAULT_REGION`, ... | credentials and region, as for every AWS tool; `AWS_REGION` \
takes precedence over `AWS_DEFAULT_REGION` |
| `NO_COLOR` | no colors, even on a terminal |
| `PASSWIRE_CERT_PASSWORD` | password of a `.p12` file or key for `cert import` and `cert rotate` |

## Environment variables of the conformance tests

`pytest tests/conformance` tests the local run, or any other server of Apple's protocol that these variables describe:

| variable | meaning |
| --- | --- |
| `CONFORMANCE_API_URL` | the base URL that `/v1/...` follows |
| `CONFORMANCE_PASS_TYPE` | pass type identifier of a pass on that server |
| `CONFORMANCE_SERIAL` | its serial number |
| `CONFORMANCE_TOKEN` | its authentication token |
"""


def commands(group: TyperGroup, *names: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """Every command of a group and its groups, by its name with those of its groups: `cert import`.

    A group that is a command too, such as `push removals`, is one of them.
    """
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            if command.invoke_without_command:
                yield " ".join((*names, name)), command
            yield from commands(command, *names, name)
        elif isinstance(command, TyperCommand):
            yield " ".join((*names, name)), command


@cache
def command_tree() -> dict[str, TyperCommand | TyperGroup]:
    """Every command of the command line, by name."""
    root = typer.main.get_command(app)
    if not isinstance(root, TyperGroup):
        raise TypeError("the command line is not a group of commands")
    return dict(commands(root))


def cli_page() -> str:
    """The text of cli.md."""
    tree = command_tree()
    overview = table(
        ("command", "what it does"),
        ((_link(name), in_table(summary(command))) for name, command in tree.items()),
    )
    head = ("command", "confirmation", "`--json`", "`--dry-run`", "exit codes")
    rules = table(head, (_rules(name, command) for name, command in tree.items()))
    sections = "".join(_command(name, command) for name, command in tree.items())
    return CLI_HEAD.replace("\\\n", "") + overview + OVERVIEW_HEAD + rules + sections


def confirmation(command: TyperCommand | TyperGroup) -> str:
    """When a command asks: `always`, `over 100 devices` or nothing, by the meaning of its `--yes`."""
    meaning = next((getattr(parameter, "help", "") for parameter in command.params if "--yes" in parameter.opts), "")
    meanings = {_help_of(YesOption): "always", _help_of(NotifyYesOption): "over 100 devices", "": ""}
    return meanings[meaning or ""]


def _help_of(option: Any) -> str:  # noqa: ANN401 - an annotation
    return str(option.__metadata__[0].help)


def _link(name: str) -> str:
    return f"[`{name}`](#{name.replace(' ', '-')})"


def exit_codes(command: TyperCommand | TyperGroup) -> list[int]:
    """The exit codes of a command beside 2 and 130: those that its help names, and 0 and 1."""
    return sorted({0, 1, *map(int, re.findall(r"[Ee]xit code (\d+)", _help(command)))})


def _rules(name: str, command: TyperCommand | TyperGroup) -> tuple[str, ...]:
    options = {option for parameter in command.params for option in parameter.opts}
    codes = ", ".join(map(str, exit_codes(command)))
    given = ("yes" if option in options else "" for option in ("--json", "--dry-run"))
    return (_link(name), confirmation(command), *given, codes)


def settings_page() -> str:
    """The text of settings.md."""
    template = resources()
    parameters: Mapping[str, Mapping[str, Any]] = template["Parameters"]
    ours = [name for name in parameters if name in SET_BY_DEPLOYER | LOCAL_ONLY]
    theirs = [name for name in parameters if name not in ours]
    variables: Mapping[str, Any] = template["Globals"]["Function"]["Environment"]["Variables"]
    return (
        SETTINGS_HEAD
        + PARAMETERS_HEAD
        + table(("parameter", "default", "meaning"), (_parameter(name, parameters[name]) for name in theirs))
        + OWN_HEAD
        + table(("parameter", "default", "meaning"), (_parameter(name, parameters[name]) for name in ours))
        + FUNCTIONS_HEAD
        + table(("function", "memory, MB", "timeout, s", "logs kept, days"), _functions())
        + ENVIRONMENT_HEAD
        + table(("variable", "set from", "default", "meaning"), _variables(variables))
        + TOOLS.replace("\\\n", "")
    )


def permissions_page() -> str:
    """The text of permissions.md."""
    head = ("actions", "resources", "why other resources, too")
    parts = [PERMISSIONS_HEAD]
    for heading, text, grants in (
        ("`diff`", "It cannot execute a change set, and writes only where `deploy` does not read.", DIFF),
        ("`deploy`", "DeleteStack is for a first deployment that failed.", DEPLOY),
        ("`deploy`, first in an account", "Once, to let API Gateway write logs.", FIRST_IN_ACCOUNT),
        (
            "`doctor`",
            "It reads secrets, to use certificates and keys as the functions do, and changes nothing.",
            DOCTOR,
        ),
    ):
        parts.append(f"\n## {heading}\n\n{text}\n\n{table(head, _grants(grants))}")
    parts.append("\n## CloudFormation\n\nWhat it calls with the credentials that run `deploy`, by type of resource.\n")
    for kind, grants in BY_RESOURCE_TYPE.items():
        parts.append(f"\n### {kind}\n\n{table(head, _grants(grants))}")
    return "".join(parts)


def _grants(grants: Iterable[Grant]) -> Iterator[tuple[str, ...]]:
    for grant in grants:
        actions = "<br>".join(f"`{action}`" for action in sorted(grant.actions))
        resources = "<br>".join(f"`{arn}`" for arn in grant.resources)
        condition = f"<br>if {json.dumps(grant.condition)}" if grant.condition else ""
        yield actions, resources + condition.replace("|", "\\|"), grant.reason


def cost_page() -> str:
    """The text of cost.md, with the output of the command that it shows."""
    page = (DOCS / "operations" / "cost.md").read_text()
    command, _, rest = page.partition(COST_COMMAND)
    shown = CliRunner().invoke(app, COST_COMMAND.split()[2:], env={"COLUMNS": "100"}).stdout
    lines = "".join(f"{line.rstrip()}\n" for line in shown.splitlines())
    return f"{command}{COST_COMMAND}\n{lines}```{rest.partition('```')[2]}"


def schema_file() -> str:
    """The JSON Schema of a pass item, as `passwire schema` prints it."""
    return json.dumps(item_schema(), indent=2) + "\n"


PAGES = {
    "reference/cli.md": cli_page,
    "reference/settings.md": settings_page,
    "reference/permissions.md": permissions_page,
    "reference/pass-item.schema.json": schema_file,
    "operations/cost.md": cost_page,
}
"""By path below `docs/`."""


def summary(command: TyperCommand | TyperGroup) -> str:
    """The first paragraph of a command's help, as Markdown on one line."""
    return " ".join(_help(command).partition("\n\n")[0].split())


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def in_table(text: str) -> str:
    """Text that is safe in a cell of a Markdown table."""
    return portable(text).replace("|", "\\|").replace("\n", " ")


def portable(text: str) -> str:
    """Text with the short name of the command line, and without the folder of this checkout."""
    return text.replace(f"{PROJECT}/", "").replace(str(PROJECT), ".")


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())


def _help(command: TyperCommand | TyperGroup) -> str:
    return inspect.cleandoc(command.callback.__doc__ or "")


def _command(name: str, command: TyperCommand | TyperGroup) -> str:
    text, _, example = _help(command).partition("Example: ")
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    options = [parameter for parameter in command.params if isinstance(parameter, TyperOption)]
    usage = " ".join([COMMAND, name, *(_metavar(argument) for argument in arguments), "[OPTIONS]"])
    parts = [f"\n## {name}\n\n{portable(text).strip()}\n\n```text\n{usage}\n```\n"]
    if arguments:
        rows = ((f"`{_metavar(argument)}`", in_table(argument.help or "")) for argument in arguments)
        parts.append("\n" + table(("argument", "meaning"), rows))
    if options:
        parts.append("\n" + table(("option", "default", "meaning"), map(_option, options)))
    if example:
        parts.append(f"\nExample:\n\n```sh\n{portable(' '.join(example.split()))}\n```\n")
    return "".join(parts)


def _metavar(argument: TyperArgument) -> str:
    text = argument.metavar or str(argument.name).upper()
    if argument.nargs == -1 and not text.endswith("..."):
        text += "..."
    return text if argument.required else f"[{text}]"


def _option(option: TyperOption) -> tuple[str, str, str]:
    name = " ".join(option.opts)
    if not option.is_flag:
        name += f" {option.metavar or option.opts[-1].lstrip('-').upper().replace('-', '_')}"
    default = "required" if option.required else ""
    if not option.required and not option.is_flag and option.default not in (None, "", (), []):
        default = f"`{in_table(str(getattr(option.default, 'value', option.default)))}`"
    return f"`{in_table(name)}`", default, in_table(option.help or "")


def _parameter(name: str, definition: Mapping[str, Any]) -> tuple[str, str, str]:
    allowed = [f"`{value}`" if value else "empty" for value in definition.get("AllowedValues", [])]
    limits = f" One of {', '.join(allowed)}." if allowed else ""
    default = definition.get("Default")
    shown = "required" if default is None else "empty" if default == "" else f"`{default}`"
    return f"`{name}`", shown, in_table(DESCRIPTIONS.get(name, "") + limits)


def _functions() -> Iterator[tuple[str, ...]]:
    configured = json.loads((PROJECT / ".chalice" / "config.json").read_text())["lambda_functions"]
    for name, size in configured.items():
        keys = ("lambda_memory_size", "lambda_timeout", "log_retention_in_days")
        yield (f"`{name}`", *(str(size[key]) for key in keys))


def _variables(variables: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """A row for each field of `Settings`, with its description in the docstring."""
    section = inspect.cleandoc(Settings.__doc__ or "").partition("Args:\n")[2]
    meanings = dict(re.findall(r"^    (\w+): (.+?)(?=\n    \w|\Z)", section, re.MULTILINE | re.DOTALL))
    for field in dataclasses.fields(Settings):
        name = PREFIX + field.name.upper()
        default = "required" if field.default is dataclasses.MISSING else _shown(field.default)
        yield (
            f"`{name}`",
            in_table(_source(variables.get(name))),
            default,
            in_table(" ".join(meanings[field.name].split())),
        )


def _shown(default: Any) -> str:  # noqa: ANN401 - of any field
    value = getattr(default, "value", default)
    return "empty" if value == "" else f"`{value}`"


def _source(value: Any) -> str:  # noqa: ANN401 - a CloudFormation expression
    """The sources of a variable of the template: names of parameters and resources, or a fixed value."""
    if value is None:
        return "not set"
    if isinstance(value, str):
        return f"`{value}`"
    text = json.dumps(value)
    names = dict.fromkeys([*re.findall(r'"Ref": "([\w:]+)"', text), *re.findall(r"\$\{(\w+)\}", text)])
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
