"""A person opens a download link: browser -> API -> signed passes with their permanent authentication tokens."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import Link, LinkError, LinkExpiredError, read_link
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.updates.conditional import Validators, validators_of
from chalicelib.updates.protocol import Version, VersionState


@dataclass(frozen=True, slots=True)
class LinkedPass:
    """One pass of a link.

    Args:
        number: its place in the link, from 1.
        pkpass: the signed archive.
        validators: of this version; a device repeats them when it requests updates.
    """

    number: int
    pkpass: bytes = field(repr=False)
    validators: Validators


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """Passes behind a valid link.

    Args:
        link: the passes that the link grants and its expiry.
        passes: those that exist and could be built, at least one.
    """

    link: Link
    passes: tuple[LinkedPass, ...]


@dataclass(frozen=True, slots=True)
class LinkOpener:
    """Opens download links.

    Args:
        store: the tables.
        keys: the stage's keys, which links are authenticated with and tokens are derived from.
        builder: builds and signs the passes.
        failures: schedules a recheck after a download that failed although the link grants it.
        window_seconds: W of the update protocol.
    """

    store: Store
    keys: AuthenticationKeys
    builder: PassBuilder
    failures: FailedDownloads
    window_seconds: int

    def open(self, *, token: str, number: int | None, web_service_url: str, now: float, asked_for: str) -> OpenedLink:
        """Build the current passes. A pass's version is read before its item; an invalid link costs no read.

        Deleted passes, and passes that cannot be built, are left out as long as one remains.

        Args:
            token: the last segment of the link.
            number: which pass of the link is wanted, from 1; None for all.
            web_service_url: `webServiceURL` of the passes.
            now: epoch seconds.
            asked_for: what is answered, for the log: `pass`, `page` or `image`.

        Raises:
            LinkError: invalid link, or it has no pass of this number.
            LinkExpiredError: the link has expired, or its passes were deleted.
            RefusedError: the item cannot become a pass.
            StoreError: DynamoDB did not answer.
            ConfigurationError: the pass cannot be signed.
        """
        link = read_link(self.keys, token, now=now)
        wanted = [(place, pass_id) for place, pass_id in enumerate(link.pass_ids, 1) if number in (None, place)]
        if not wanted:
            raise LinkError
        opened: list[LinkedPass] = []
        problem: Exception = LinkError()
        for place, pass_id in wanted:
            try:
                opened.append(self._build(place, pass_id, web_service_url, now))
            except Exception as error:  # noqa: BLE001 - the others are given out; raised if no pass remains
                if len(wanted) > 1:
                    log.event("linked_pass_left_out", pass_id=pass_id, error=str(error))
                problem = error
            else:
                log.event("link_opened", pass_id=pass_id, asked_for=asked_for, bytes=len(opened[-1].pkpass))
        if not opened:
            raise problem
        return OpenedLink(link, tuple(opened))

    def _build(self, number: int, pass_id: PassId, web_service_url: str, now: float) -> LinkedPass:
        state: VersionState | None = None
        item: PassItem | None = None
        try:
            state = self.store.versions.state(pass_id)
            attributes = self.store.passes.content(pass_id)
            if attributes is None:
                raise LinkExpiredError(f"download link: pass {pass_id} was deleted")  # noqa: TRY301
            item = PassItem.parse(attributes)
            pkpass = self.builder.build(
                item,
                personalized=state.personalized,
                authentication_token=self.keys.issue(pass_id, item_token=item.authentication_token),
                web_service_url=web_service_url,
                at=datetime.fromtimestamp(now, UTC),
            )
        except LinkExpiredError:
            raise
        except Exception as error:
            self.failures.note(pass_id, error, state=state, item=item)
            raise
        version = state.version or Version.before_any_stamp(now, window_seconds=self.window_seconds)
        return LinkedPass(number, pkpass, validators_of(version))
