"""The API as phones call it: execution environments, and answers that deny a change."""

import contextlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import cast

from chalicelib.aws.clocks import Clocks
from chalicelib.aws.queue import Queue
from chalicelib.aws.tables import Store
from chalicelib.aws.tables.versions import Versions
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import PasswireError, TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.download import Downloader
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.listing import Lister, Listing
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.flows.register import Registrar
from chalicelib.flows.stamp import stamp
from chalicelib.passes.builder import PassBuilder
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.protocol import Tag, Version
from tests.schedules.actors import Environment, Phone
from tests.schedules.limits import (
    API_TIMEOUT_SECONDS,
    PASS_TYPE,
    WINDOW_SECONDS,
)
from tests.schedules.pipeline import Pipeline
from tests.schedules.scheduler import Scheduler
from tests.schedules.services import WatchedFailures, WorldBuilder, WorldQueue


class Api:
    """Answers calls in execution environments, and records wrong answers.

    Args:
        scheduler: chooses the environments.
        pipeline: has written the items.
        store: every request is a step of the schedule.
        versions: without steps, to judge answers.
        builder: builds passes.
        failures: records failed downloads.
        queue: takes the push tasks of registrations.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        pipeline: Pipeline,
        store: Store,
        versions: Versions,
        builder: WorldBuilder,
        failures: WatchedFailures,
        queue: WorldQueue,
    ) -> None:
        self.keys = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
        self.registrar = Registrar(store, self.keys, cast("Queue", queue))
        self.denied: list[str] = []
        """Answers that said that nothing changed, although a stamp was committed before."""
        self._scheduler = scheduler
        self._pipeline = pipeline
        self._store = store
        self._versions = versions
        self._builder = builder
        self._failures = failures
        self._environments = [self._environment() for _ in range(scheduler.rates.environments)]

    def list_changed(self, phone: Phone, tag: str | None) -> Listing | None:
        """Make a list call. A pass that had a stamp after the tag before the call began must be named."""
        before = self._listed_versions(phone)
        with self.in_environment() as environment:
            listing = environment.lister.list_changed(
                device=phone.identifier, pass_type_identifier=PASS_TYPE, tag=Tag.parse(tag), now=self._scheduler.clock()
            )
        parsed = Tag.parse(tag)
        named = listing.serial_numbers if listing is not None else ()
        for pass_id, version in before.items() & self._listed_versions(phone).items():
            if parsed is not None and version.modified_at > parsed.seconds and pass_id.serial_number not in named:
                self.denied.append(f"a list call does not name {pass_id}, which was stamped before it")
        return listing

    def download(self, phone: Phone, pass_id: PassId, *, since: str | None) -> tuple[int, str] | None:
        """Apple does not promise that a phone repeats a failed download, so phones do not repeat it here.

        Raises:
            TransientError: the service failed, and neither DynamoDB nor SQS took note of that: only then the phone is
                so kind as to come again.
        """
        assert phone
        unnoted = self._failures.unnoted
        newest = self._versions.get(pass_id)
        try:
            with self.in_environment() as environment:
                download = environment.downloader.download(
                    pass_id=pass_id,
                    authorization=self.authorization(pass_id),
                    conditions=Conditions(if_modified_since=since),
                    web_service_url="https://a.example",
                    now=self._scheduler.clock(),
                )
        except UnauthorizedError:
            return None
        except PasswireError:
            if self._failures.unnoted > unnoted:
                raise TransientError("the failure was not recorded") from None
            return None
        if download.pkpass is None:
            if newest is not None and not Conditions(if_modified_since=since).not_modified(newest):
                self.denied.append(f"a download of {pass_id} gets 304, although it was stamped before")
            return None
        modified_at = download.validators.last_modified
        if since and newest and parsedate_to_datetime(modified_at) < parsedate_to_datetime(since):
            self.denied.append(f"a download of {pass_id} is older than the pass on the phone")
        return int(download.pkpass), modified_at

    def authorization(self, pass_id: PassId) -> str:
        return f"ApplePass {self.keys.issue(pass_id, item_token=None).value}"

    def is_personalized(self, pass_id: PassId) -> None:
        """The API stamps a pass; its devices are notified by the stream's record, which is left out here."""
        if pass_id in self._pipeline.items:

            def body() -> None:
                stamp(self._store, pass_id, now=self._scheduler.clock(), changes=1, deleted=False)

            self._scheduler.start("personalize", body, lambda _: None, API_TIMEOUT_SECONDS)

    @contextlib.contextmanager
    def in_environment(self) -> Iterator[Environment]:
        """Run a call of the current actor in an execution environment that is free, or in a new one.

        While it was idle, Lambda may have frozen it, or its wall clock may have been set.
        """
        actor, free = (
            self._scheduler.current,
            [environment for environment in self._environments if not environment.busy],
        )
        assert actor is not None
        if not free:
            free.append(self._environment())
            self._environments += free
        environment = self._scheduler.random.choice(free)
        if self._scheduler.random.random() >= self._scheduler.rates.freeze:
            pass
        elif environment.freezes:
            environment.stopped += self._scheduler.now - environment.idle_since
        else:
            environment.skew = self._scheduler.random.choice([-1, 1]) * self._scheduler.rates.skew
        skew = actor.skew
        actor.environment, actor.skew, environment.busy = environment, environment.skew, True
        try:
            yield environment
        finally:
            environment.busy, environment.idle_since = False, self._scheduler.now
            actor.environment, actor.skew = None, skew

    def _environment(self) -> Environment:
        builder, failures = cast("PassBuilder", self._builder), cast("FailedDownloads", self._failures)
        store, recent = self._store, RecentVersions(Clocks(clock=self._scheduler.clock, timer=self._scheduler.timer))
        return Environment(
            Lister(store, window_seconds=WINDOW_SECONDS, recent=recent),
            Downloader(store, self.keys, builder, failures, window_seconds=WINDOW_SECONDS, recent=recent),
            freezes=self._scheduler.random.random() < 0.5,
        )

    def _listed_versions(self, phone: Phone) -> dict[PassId, Version]:
        """The newest versions of the passes for which a phone is certainly registered."""
        certain = [
            p for p in self._pipeline.items if phone.registered_tokens.get(p) == phone.push_token and p in phone.wanted
        ]
        versions = {pass_id: self._versions.get(pass_id) for pass_id in certain}
        return {pass_id: version for pass_id, version in versions.items() if version and not version.deleted}
