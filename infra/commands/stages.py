"""`stages` and `outputs`: what is deployed."""

import typer
from botocore.exceptions import BotoCoreError, ClientError

from infra.commands.options import JsonOption, StageOption
from infra.core.moments import format_moment
from infra.core.program import command
from infra.core.terminal import standard_error, write_json, write_table, write_values
from infra.stage.aws import account_and_region, explain
from infra.stage.local import STAGE as LOCAL
from infra.stage.local import running_since
from infra.stage.stage import DeployedStage, Stage, deployed_stages

RUNNING = "RUNNING"
"""Status of the local run, in place of that of a CloudFormation stack."""


def stages(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """List the stages that are deployed in the account and region, and the local run while it is up.

    Example: passwire stages --region eu-central-1
    """
    console = standard_error()
    options = context.find_root().params
    since = None if options.get("profile") or options.get("region") else running_since()
    found = [] if since is None else [DeployedStage(LOCAL, RUNNING, since)]
    where = ""
    try:
        with console.status("reading stacks"):
            account, region = account_and_region()
            where = f"account {account}, region {region}"
            found += [stage for stage in deployed_stages() if since is None or stage.name != LOCAL]
    except (BotoCoreError, ClientError) as error:
        if since is None:
            raise
        console.print(f"only the local run: {explain(error)}")
    if as_json:
        write_json(
            [
                {"stage": stage.name, "status": stage.status, "changed_at": format_moment(stage.changed_at)}
                for stage in found
            ]
        )
        return
    if found:
        rows = [(stage.name, stage.status, format_moment(stage.changed_at)) for stage in found]
        write_table(("stage", "status", "changed"), rows)
    else:
        console.print(f"no stage is deployed in {where}; run: {command('deploy')}")


def outputs(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Print the URLs and names of a deployed stage.

    Example: passwire outputs --stage dev --json
    """
    found = Stage.open(stage).outputs
    if as_json:
        write_json(dict(found))
    else:
        write_values(sorted(found.items()))
