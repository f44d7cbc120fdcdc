"""Tells what a push of a template would do, before it is done."""

from dataclasses import dataclass

from infra.operate.passes.registrations import RegistrationCounter
from infra.operate.rechecks import refused_passes
from infra.operate.templates.bucket import TemplatesBucket
from infra.operate.templates.touch import untouched
from infra.stage.stage import Stage


@dataclass(frozen=True, slots=True)
class PushPlan:
    """Effects of a push of a template.

    Args:
        revision: the revision that would be current.
        before: the revision that is current; None before the first push.
        rechecked: number of passes whose items were refused and would be rechecked.
        touched: number of passes that would be touched.
        devices: number of devices that would be notified, if all rechecked passes are valid now.
    """

    revision: str
    before: str | None
    rechecked: int
    touched: int
    devices: int


def plan_push(stage: Stage, name: str, revision: str, *, notify: bool) -> PushPlan:
    """Return what making a revision of a template current would do.

    Args:
        stage: the stage.
        name: name of the template.
        revision: the revision that would be current.
        notify: all passes of the template would be touched.
    """
    current = TemplatesBucket(stage).current(name)
    refused = refused_passes(stage, name)
    touched = [key for page in untouched(stage, template=name, revision=revision) for key in page] if notify else []
    return PushPlan(
        revision=revision,
        before=current.revision if current else None,
        rechecked=len(refused),
        touched=len(touched),
        devices=RegistrationCounter(stage).devices({*refused, *touched}),
    )
