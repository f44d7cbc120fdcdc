"""`stages` and `outputs`: what is deployed."""

from infra.commands.options import JsonOption, StageOption
from infra.core.moments import format_moment
from infra.core.program import command
from infra.core.terminal import standard_error, write_json, write_table, write_values
from infra.stage.aws import account_and_region
from infra.stage.stage import Stage, deployed_stages


def stages(*, as_json: JsonOption = False) -> None:
    """List the stages that are deployed in the account and region.

    Example: passwire stages --region eu-central-1
    """
    console = standard_error()
    with console.status("reading stacks"):
        account, region = account_and_region()
        found = deployed_stages()
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
        console.print(f"no stage is deployed in account {account}, region {region}; run: {command('deploy')}")


def outputs(stage: StageOption = "dev", *, as_json: JsonOption = False) -> None:
    """Print the URLs and names of a deployed stage.

    Example: passwire outputs --stage dev --json
    """
    found = Stage.open(stage).outputs
    if as_json:
        write_json(dict(found))
    else:
        write_values(sorted(found.items()))
