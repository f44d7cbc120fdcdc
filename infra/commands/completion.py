"""Completes names of stages, templates and pass types in shells; Typer completes commands, options and choices.

A shell waits for the answer, so that AWS is asked once and briefly. Without credentials or network, nothing is offered.
"""

from collections.abc import Callable, Iterable

import typer

from chalicelib.core.errors import PasswireError


def complete_stages(context: typer.Context) -> list[str]:
    """Offer the deployed stages, and the local run while it is up."""
    from infra.stage.local import STAGE, running_since  # noqa: PLC0415 - only completion needs it

    def names(_: str) -> Iterable[str]:
        from infra.stage.stage import deployed_stages  # noqa: PLC0415

        return [stage.name for stage in deployed_stages()]

    local = [STAGE] if running_since() is not None else []
    return sorted({*local, *_offered(context, names)})


def complete_templates(context: typer.Context) -> list[str]:
    """Offer the templates of the stage."""

    def names(stage: str) -> Iterable[str]:
        from chalicelib.aws.templates import packaged_names  # noqa: PLC0415
        from infra.operate.templates.bucket import TemplatesBucket  # noqa: PLC0415
        from infra.stage.stage import Stage  # noqa: PLC0415

        pushed = TemplatesBucket(Stage.open(stage)).list()
        return sorted({*(template.name for template in pushed), *packaged_names()})

    return _offered(context, names)


def complete_pass_types(context: typer.Context) -> list[str]:
    """Offer the pass types that have a certificate in the stage."""

    def names(stage: str) -> Iterable[str]:
        from chalicelib.aws.secrets import Secrets  # noqa: PLC0415

        return Secrets(stage=stage).pass_types()

    return _offered(context, names)


def _offered(context: typer.Context, names: Callable[[str], Iterable[str]]) -> list[str]:
    """Return names for the stage of a command line, or nothing if AWS does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from infra.stage.aws import briefly, selected  # noqa: PLC0415
    from infra.stage.local import use_stage  # noqa: PLC0415

    options = context.find_root().params
    stage: str | None = context.params.get("stage") or options.get("stage")
    try:
        with selected(profile=options.get("profile"), region=options.get("region")), briefly():
            if stage is not None:
                use_stage(stage)
            return list(names(str(stage)))
    except (PasswireError, BotoCoreError, ClientError, OSError):
        return []
