"""A designer who breaks and repairs the template, and rechecks what was refused."""

from chalicelib.aws.tables.versions import Versions
from chalicelib.updates.push_tasks import Recheck, RecheckReason
from tests.schedules.limits import FOREVER
from tests.schedules.pipeline import Pipeline
from tests.schedules.scheduler import Scheduler
from tests.schedules.services import Designs, WorldQueue


class Designer:
    """Changes the only template.

    Args:
        scheduler: runs the rechecks.
        designs: has the template.
        pipeline: writes its items again after some repairs.
        queue: takes the rechecks.
        versions: has the refusals.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        designs: Designs,
        pipeline: Pipeline,
        queue: WorldQueue,
        versions: Versions,
    ) -> None:
        self._scheduler = scheduler
        self._designs = designs
        self._pipeline = pipeline
        self._queue = queue
        self._versions = versions
        self._repairing = False

    def breaks_or_repairs_the_template(self) -> None:
        """A designer removes a field from the template, or restores it and has `template push` recheck what
        was refused. Some repairs come without that, by a deployment; a pipeline then writes its items again.
        """
        if not self._designs.broken:
            self._designs.breaks()
        elif not self._repairing:
            self._designs.is_repaired()
            if self._scheduler.random.random() < 0.3:
                for pass_id in self._pipeline.pass_ids:
                    if pass_id in self._pipeline.items:
                        self._pipeline.writes_a_pass(pass_id, again=True)
                return
            self.brings_back()

    def brings_back(self) -> None:
        """Recheck refused passes as `template push` does after publishing: an operator's process that reads them and
        queues a recheck for each, until all are queued.
        """
        self._repairing = True
        done = [False]

        def body() -> None:
            self._scheduler.step()
            for pass_id in sorted(self._versions.refused(self._pipeline.pass_ids)):
                self._scheduler.step()
                self._queue.put(Recheck(pass_id, RecheckReason.REFUSED, self._scheduler.clock(), "push"))
            done[0] = True

        def ended(_: bool) -> None:  # noqa: FBT001
            self._repairing = False
            if not done[0] and not self._designs.broken:
                self.brings_back()

        self._scheduler.start("repair", body, ended, FOREVER)
