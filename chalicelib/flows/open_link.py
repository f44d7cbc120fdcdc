"""A person opens a download link: browser -> API -> the pass, signed, with the token that it will live with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.links import Link, LinkEndedError, read_link
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.updates.conditional import Validators, validators_of
from chalicelib.updates.protocol import Version, VersionState


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """What a link leads to.

    Args:
        link: what it grants.
        pkpass: the signed archive.
        validators: what a device names this version by when it comes for updates.
    """

    link: Link
    pkpass: bytes = field(repr=False)
    validators: Validators


@dataclass(frozen=True, slots=True)
class LinkOpener:
    """What answers a download link.

    Args:
        failures: what follows a download that is not served, though the link grants it.
        window_seconds: W of the update protocol.
    """

    store: Store
    keys: AuthenticationKeys
    builder: PassBuilder
    failures: FailedDownloads
    window_seconds: int

    def open(self, *, token: str, web_service_url: str, now: float, asked_for: str) -> OpenedLink:
        """The pass as it is now: its version is read, then its item; neither where the link is invalid.

        Args:
            token: the end of the link.
            web_service_url: what the pass names to phones.
            now: epoch seconds.
            asked_for: whether the pass itself is handed out or only shown, for the log.

        Raises:
            LinkError: it is none.
            LinkEndedError: it has expired, or the pass is gone.
            RefusedError: the item cannot become a pass; nothing half-built leaves.
            StoreError, ConfigurationError: it could not be read, or not be signed.
        """
        link = read_link(self.keys, token, now=now)
        state: VersionState | None = None
        item: PassItem | None = None
        try:
            state = self.store.versions.state(link.pass_id)
            attributes = self.store.passes.content(link.pass_id)
            if attributes is None:
                raise LinkEndedError(f"download link: pass {link.pass_id} is gone")  # noqa: TRY301
            item = PassItem.parse(attributes)
            pkpass = self.builder.build(
                item,
                personalized=state.personalized,
                authentication_token=self.keys.issue(link.pass_id, own=item.authentication_token),
                web_service_url=web_service_url,
                at=datetime.fromtimestamp(now, UTC),
            )
        except LinkEndedError:
            raise
        except Exception as error:
            self.failures.note(link.pass_id, error, state=state, item=item)
            raise
        log.event("link_opened", pass_id=link.pass_id, asked_for=asked_for, bytes=len(pkpass))
        version = state.version or Version.before_any_stamp(now, window_seconds=self.window_seconds)
        return OpenedLink(link, pkpass, validators_of(version))
