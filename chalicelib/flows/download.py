"""A device downloads a pass: device -> API -> the pass, signed, unless the device has it already."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib.aws.tables import Store
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.flows.authorize import UnauthorizedError, check, read_header
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.telemetry import log
from chalicelib.updates.conditional import Conditions, Validators, validators_of
from chalicelib.updates.protocol import Version, VersionState


@dataclass(frozen=True, slots=True)
class Download:
    """The answer to a download.

    Args:
        pkpass: the signed archive; None where the device has this version already.
        validators: what the device names this version by when it comes back.
    """

    pkpass: bytes | None = field(repr=False)
    validators: Validators


@dataclass(frozen=True, slots=True)
class Downloader:
    """What answers a download.

    Args:
        failures: what follows a download that is not served, though the request may have it.
        window_seconds: W of the update protocol.
    """

    store: Store
    keys: AuthenticationKeys
    builder: PassBuilder
    failures: FailedDownloads
    window_seconds: int

    def download(
        self,
        *,
        pass_id: PassId,
        authorization: str | None,
        conditions: Conditions,
        web_service_url: str,
        now: float,
    ) -> Download:
        """The pass as it is now. `now` is epoch seconds.

        The version is read before the item, so the content is never older than its stamp: each change that the stamp
        counts was in the table before the stamp was written. The other way round, a change and its stamp between the
        two reads would give old content the new `Last-Modified`, and the device's next call would end as 304.

        A token that is derived from our keys is checked without a read, and the item is read once: 2 units with the
        version's. Any other token can only be the one in the item. It is read first, by itself and together with the
        version, so how long a refusal takes does not depend on the item: 3 units.

        The token that was presented is the one that stands in the pass: an installed pass can never change its own.

        Raises:
            UnauthorizedError: unknown or deleted pass, or a token that is not its own.
            RefusedError: the item cannot become a pass; nothing half-built leaves.
            StoreError, ConfigurationError: it could not be read, or not be signed.
        """
        presented = read_header(authorization)
        derived = self.keys.accepts(presented, pass_id, own=None)
        state: VersionState | None = None
        item: PassItem | None = None
        try:
            state = self.store.versions.state(pass_id) if derived else self._authorized(pass_id, presented)
            version = state.version
            if version is not None and conditions.not_modified(version):
                if derived:
                    check(self.keys, pass_id, self.store.passes.for_authorization(pass_id), presented=presented)
                log.event("downloaded", pass_id=pass_id, modified=False)
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
            if derived or state is not None:  # the token was checked: a stranger cannot cause pushes
                self.failures.note(pass_id, error, state=state, item=item)
            raise
        log.event("downloaded", pass_id=pass_id, modified=True, bytes=len(pkpass))
        return Download(
            pkpass, validators_of(version or Version.before_any_stamp(now, window_seconds=self.window_seconds))
        )

    def _authorized(self, pass_id: PassId, presented: AuthenticationToken) -> VersionState:
        """Check the token against the item's own."""
        stored = self.store.passes.for_download(pass_id)
        check(self.keys, pass_id, stored.attributes if stored else None, presented=presented)
        if stored is None:
            raise UnauthorizedError  # as `check` has done already
        return stored.state
