"""A person opens a download link: browser -> API -> the signed pass with its permanent authentication token."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.links import Link, LinkExpiredError, read_link
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.updates.conditional import Validators, validators_of
from chalicelib.updates.protocol import Version, VersionState


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """Pass behind a valid link.

    Args:
        link: the pass that the link grants and its expiry.
        pkpass: the signed archive.
        validators: of this version; a device repeats them when it requests updates.
    """

    link: Link
    pkpass: bytes = field(repr=False)
    validators: Validators


@dataclass(frozen=True, slots=True)
class LinkOpener:
    """Opens download links.

    Args:
        store: the tables.
        keys: the stage's keys, which links are authenticated with and tokens are derived from.
        builder: builds and signs the pass.
        failures: schedules a recheck after a download that failed although the link grants it.
        window_seconds: W of the update protocol.
    """

    store: Store
    keys: AuthenticationKeys
    builder: PassBuilder
    failures: FailedDownloads
    window_seconds: int

    def open(self, *, token: str, web_service_url: str, now: float, asked_for: str) -> OpenedLink:
        """Build the current pass. Its version is read before its item; an invalid link costs no read.

        Args:
            token: the last segment of the link.
            web_service_url: `webServiceURL` of the pass.
            now: epoch seconds.
            asked_for: `pass` or `page`, for the log.

        Raises:
            LinkError: invalid link.
            LinkExpiredError: the link has expired, or the pass was deleted.
            RefusedError: the item cannot become a pass.
            StoreError: DynamoDB did not answer.
            ConfigurationError: the pass cannot be signed.
        """
        link = read_link(self.keys, token, now=now)
        state: VersionState | None = None
        item: PassItem | None = None
        try:
            state = self.store.versions.state(link.pass_id)
            attributes = self.store.passes.content(link.pass_id)
            if attributes is None:
                raise LinkExpiredError(f"download link: pass {link.pass_id} was deleted")  # noqa: TRY301
            item = PassItem.parse(attributes)
            pkpass = self.builder.build(
                item,
                personalized=state.personalized,
                authentication_token=self.keys.issue(link.pass_id, item_token=item.authentication_token),
                web_service_url=web_service_url,
                at=datetime.fromtimestamp(now, UTC),
            )
        except LinkExpiredError:
            raise
        except Exception as error:
            self.failures.note(link.pass_id, error, state=state, item=item)
            raise
        log.event("link_opened", pass_id=link.pass_id, asked_for=asked_for, bytes=len(pkpass))
        version = state.version or Version.before_any_stamp(now, window_seconds=self.window_seconds)
        return OpenedLink(link, pkpass, validators_of(version))
