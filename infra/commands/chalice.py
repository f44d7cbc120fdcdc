"""`prepare` and `finish`: the steps before and after `chalice deploy`."""

import shlex

from infra.commands.confirmation import require_answer
from infra.commands.dialogue import Terminal
from infra.commands.next_steps import after_deployment
from infra.commands.options import (
    ApnsPushTypeOption,
    JsonOption,
    SetOption,
    StageOption,
    WebServiceUrlOption,
    YesOption,
    read_parameters,
)
from infra.commands.stack import warn_of_dirty_checkout
from infra.core.program import command
from infra.core.terminal import standard_error, write_json, write_line, write_values
from infra.deploy.chalice.stage import ChaliceDeployer
from infra.deploy.package import PROJECT, pip_environment
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys


def prepare(
    stage: StageOption = "dev",
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create what `chalice deploy` needs: tables, queues, alarms. Write the stage's environment and IAM policies.

    Example: passwire prepare --stage dev
    """
    given = read_parameters(parameters, web_service_url=web_service_url, apns_push_type=apns_push_type)
    require_answer(yes=yes)
    with Terminal(stage=stage, yes=yes) as dialogue:
        warn_of_dirty_checkout(dialogue, yes=yes)
        check_authentication_keys(stage)
        ChaliceDeployer(stage, on_progress=dialogue.on_progress).prepare(parameters=given, dialogue=dialogue)
    ensure_authentication_keys(stage, on_progress=dialogue.on_progress)
    verified = shlex.join(f"{name}={value}" for name, value in pip_environment(PROJECT).items())
    chalice, finishing = f"{verified} chalice deploy --stage {stage}", command("finish", "--stage", stage)
    if as_json:
        write_json({"stage": stage, "next": [chalice, finishing]})
    else:
        standard_error().print("next, to deploy the functions:")
        write_line(chalice)
        write_line(finishing)


def finish(stage: StageOption = "dev", *, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Configure what `chalice deploy` cannot: triggers, error responses, limits, access logs. Run it after each deploy.

    Example: passwire finish --stage dev
    """
    require_answer(yes=yes)
    with Terminal(stage=stage, yes=yes) as dialogue:
        finished = ChaliceDeployer(stage, on_progress=dialogue.on_progress).finish(dialogue=dialogue)
    if as_json:
        write_json(dict(finished.outputs))
    else:
        write_values(sorted(finished.outputs.items()))
    after_deployment(finished)
