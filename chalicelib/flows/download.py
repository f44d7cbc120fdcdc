"""A device downloads a pass: device -> API -> the signed pass, or 304 if the device already has this version."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import loggable
from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.flows.authorize import UnauthorizedError, check, read_header
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.flows.recent_versions import RecentVersions
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.updates.conditional import Conditions, Validators, validators_of
from chalicelib.updates.protocol import Version, VersionState
from chalicelib.updates.recent import RecentPass

if TYPE_CHECKING:
    from chalicelib.updates.events import Event


@dataclass(frozen=True, slots=True)
class Download:
    """The answer to a download.

    Args:
        pkpass: the signed archive; None if the device already has this version.
        validators: of this version; the device repeats them in its next request.
    """

    pkpass: bytes | None = field(repr=False)
    validators: Validators


@dataclass(frozen=True, slots=True)
class Downloader:
    """Answers downloads.

    Args:
        store: the tables.
        keys: the stage's keys, from which tokens are derived.
        builder: builds and signs the pass.
        failures: schedules a recheck after an authorized download that failed.
        window_seconds: W of the update protocol.
        recent: widely held passes that this execution environment has just signed.
        publish: sends the event of a download; None if downloads are not events.
    """

    store: Store
    keys: AuthenticationKeys
    builder: PassBuilder
    failures: FailedDownloads
    window_seconds: int
    recent: RecentVersions = field(default_factory=RecentVersions)
    publish: Callable[["Event"], object] | None = None

    def download(
        self,
        *,
        pass_id: PassId,
        authorization: str | None,
        conditions: Conditions,
        web_service_url: str,
        now: float,
    ) -> Download:
        """Build the current pass, unless the conditions match its version.

        The version is read before the item, so the content is never older than its stamp: each change that the stamp
        counts was in the table before the stamp was written. In the opposite order, a change and its stamp between the
        two reads would give old content the new `Last-Modified`, and the device's next request would get 304.

        A token derived from the stage's keys is checked without a read, and the item is read once: 2 read units
        including the version. Any other token can only be the item's own. The item's token is read first, alone and
        together with the version, so the duration of a refusal does not depend on the item: 3 read units.

        A widely held pass that was signed a moment ago is sent again, without any read, to a device that presents the
        same token and certainly has an older version (`updates/recent.py`).

        The pass contains the token that the request presented, because an installed pass can never change its token.

        Args:
            pass_id: of the pass.
            authorization: the `Authorization` header.
            conditions: the request's conditional headers.
            web_service_url: `webServiceURL` of the pass.
            now: epoch seconds.

        Raises:
            UnauthorizedError: unknown or deleted pass, or wrong token.
            RefusedError: the item cannot become a pass.
            StoreError: DynamoDB did not answer.
            ConfigurationError: the pass cannot be signed.
        """
        presented = read_header(authorization)
        recent = self.recent.get(pass_id)
        signed = recent.for_device(presented, conditions, web_service_url=web_service_url) if recent else None
        if recent is not None and signed is not None:
            log.event("downloaded", pass_id=pass_id, modified=True, bytes=len(signed.pkpass))
            self._publish(pass_id, template=signed.template, modified=True, now=now)
            return Download(signed.pkpass, validators_of(recent.version))
        derived = self.keys.accepts(presented, pass_id, item_token=None)
        read_at = self.recent.now()
        state: VersionState | None = None
        item: PassItem | None = None
        try:
            state = self.store.versions.state(pass_id) if derived else self._authorized(pass_id, presented)
            version = state.version
            if version is not None and conditions.not_modified(version):
                if derived:
                    check(self.keys, pass_id, self.store.passes.for_authorization(pass_id), presented=presented)
                log.event("downloaded", pass_id=pass_id, modified=False)
                self._publish(pass_id, template="", modified=False, now=now)
                return Download(None, validators_of(version))
            attributes = check(self.keys, pass_id, self.store.passes.content(pass_id), presented=presented)
            item = PassItem.parse(attributes)
            pkpass = self.builder.build(
                item,
                personalized=state.personalized,
                authentication_token=presented,
                web_service_url=web_service_url,
                at=datetime.fromtimestamp(now, UTC),
            )
        except UnauthorizedError:
            raise
        except Exception as error:
            if derived or state is not None:  # only after the token was checked: a stranger must not cause pushes
                self.failures.note(pass_id, error, state=state, item=item)
            raise
        signed = RecentPass(pkpass, presented, web_service_url, item.template)
        self.recent.keep(pass_id, version, read_at=read_at, signed=signed)
        log.event("downloaded", pass_id=pass_id, modified=True, bytes=len(pkpass))
        self._publish(pass_id, template=item.template, modified=True, now=now)
        return Download(
            pkpass, validators_of(version or Version.before_any_stamp(now, window_seconds=self.window_seconds))
        )

    def _publish(self, pass_id: PassId, *, template: str, modified: bool, now: float) -> None:
        """Send the event of a download, at most once. No other part of the answer depends on it, so an event that is
        not sent is only logged.
        """
        if self.publish is None:
            return
        from chalicelib.updates.events import new_event, pass_fields

        detail = {**pass_fields(pass_id, template), "modified": modified}
        event = new_event("pass.downloaded", at=now, identity=(str(pass_id), log.request_id()), detail=detail)
        try:
            if self.publish(event):
                log.event("download_not_published", pass_id=pass_id, error="refused")
        except Exception as error:  # noqa: BLE001 - the phone has its pass
            log.event("download_not_published", pass_id=pass_id, error=loggable(error))

    def _authorized(self, pass_id: PassId, presented: AuthenticationToken) -> VersionState:
        """Read the version and check the token against the item's own."""
        stored = self.store.passes.for_download(pass_id)
        check(self.keys, pass_id, stored.attributes if stored else None, presented=presented)
        if stored is None:
            raise UnauthorizedError  # `check` has raised already; for the type checker
        return stored.state
