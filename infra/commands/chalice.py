"""`prepare` and `finish`: the steps before and after `chalice deploy`."""

import shlex

from infra.commands.dialogue import Terminal
from infra.commands.options import (
    ApnsPushTypeOption,
    JsonOption,
    SetOption,
    StageOption,
    WebServiceUrlOption,
    YesOption,
)
from infra.commands.stack import print_values, refuse_without_terminal, warn_of_dirty_checkout
from infra.core.terminal import write_line
from infra.deploy.chalice.stage import ChaliceDeployer
from infra.deploy.package import PROJECT, pip_environment
from infra.deploy.parameters import read_parameters
from infra.stage.secrets import check_authentication_keys, ensure_authentication_keys


def prepare(
    stage: StageOption = "dev",
    web_service_url: WebServiceUrlOption = None,
    apns_push_type: ApnsPushTypeOption = None,
    parameters: SetOption = None,
    *,
    yes: YesOption = False,
) -> None:
    """Create what `chalice deploy` needs: tables, queues, alarms. Write the stage's environment and IAM policies.

    Example: python -m infra prepare --stage dev
    """
    given = read_parameters(parameters or [], web_service_url=web_service_url, apns_push_type=apns_push_type)
    refuse_without_terminal(yes=yes)
    with Terminal(stage=stage, yes=yes) as dialogue:
        warn_of_dirty_checkout(dialogue, yes=yes)
        check_authentication_keys(stage)
        ChaliceDeployer(stage, on_progress=dialogue.on_progress).prepare(parameters=given, dialogue=dialogue)
    ensure_authentication_keys(stage, on_progress=dialogue.on_progress)
    verified = shlex.join(f"{name}={value}" for name, value in pip_environment(PROJECT).items())
    write_line(f"now run: {verified} chalice deploy --stage {stage}, then: python -m infra finish --stage {stage}")


def finish(stage: StageOption = "dev", *, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Configure what `chalice deploy` cannot: triggers, error responses, limits, access logs. Run it after each deploy.

    Example: python -m infra finish --stage dev
    """
    refuse_without_terminal(yes=yes)
    with Terminal(stage=stage, yes=yes) as dialogue:
        finished = ChaliceDeployer(stage, on_progress=dialogue.on_progress).finish(dialogue=dialogue)
    print_values(finished.outputs, as_json=as_json)
