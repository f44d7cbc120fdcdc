"""Shows the changes and the progress of a deployment in a terminal, and asks for confirmation."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.commands.confirmation import is_agreed
from infra.core.terminal import printable, standard_error
from infra.deploy.changes import ResourceChange, ResourceEvent
from infra.deploy.errors import DeployError

SHOWN_CHARACTERS = 60


class Terminal:
    """Implements the deployer's dialogue on standard error.

    Args:
        stage: the name of the stage.
        yes: answer every question with yes, except those that only a person may answer (`confirms`).
    """

    def __init__(self, *, stage: str, yes: bool) -> None:
        self._stage = stage
        self._yes = yes
        self._console = standard_error()
        self._progress: Progress | None = None
        self._waiting: set[str] = set()
        self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def on_progress(self, line: str) -> None:
        """Print a line of progress."""
        self._console.print(line)

    def review(self, changes: list[ResourceChange], /) -> bool:
        """Show the changes and ask whether to make them."""
        for change in changes:
            self.on_progress(f"  {change}")
        self._waiting = {change.logical_id for change in changes}
        self._total = len(changes)
        return self._is_agreed(f"make these {len(changes)} changes to stage {self._stage}?")

    def allows(self, question: str, /) -> bool:
        """Ask whether to continue."""
        return self._is_agreed(question)

    def confirms(self, question: str, /) -> bool:
        """Ask a person; `--yes` does not answer.

        Raises:
            DeployError: `--yes` was given, which confirms ordinary changes only.
        """
        if self._yes:
            raise DeployError(f"{question} --yes does not confirm this: run the command in a terminal without it")
        return self._is_agreed(question)

    def event(self, event: ResourceEvent, /) -> None:
        """Move the progress bar; print a failure on a line of its own."""
        if event.failed:
            self.on_progress(f"  {event.status} {event.logical_id} ({event.resource_type}): {event.reason}")
        if event.status.endswith(("_COMPLETE", "_SKIPPED")):
            self._waiting.discard(event.logical_id)
        if self._progress is None:
            self._progress = self._bar()
        self._progress.update(
            self._progress.task_ids[0],
            description=printable(f"{event.status} {event.logical_id}")
            .lower()[:SHOWN_CHARACTERS]
            .ljust(SHOWN_CHARACTERS),
            completed=self._total - len(self._waiting),
            total=self._total or None,
        )

    def _is_agreed(self, question: str) -> bool:
        return is_agreed(question, yes=self._yes)

    def _bar(self) -> Progress:
        """Start a progress bar, which draws nothing without a terminal."""
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        progress = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        progress.add_task("")
        progress.start()
        return progress
