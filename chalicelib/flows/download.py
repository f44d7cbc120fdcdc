"""A device downloads a pass: device -> API -> the pass, signed, unless the device has it already."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib import log
from chalicelib.domain.authentication import AuthenticationKeys
from chalicelib.domain.conditional import Conditions, Validators, validators_of
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.items import PassItem
from chalicelib.domain.updates import Version, VersionState
from chalicelib.flows.authorize import check, read_header
from chalicelib.flows.failed_downloads import FailedDownloads
from chalicelib.press import Press
from chalicelib.store import Store


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
    press: Press
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
        """The pass as it is now: one read, of item and version together. `now` is epoch seconds.

        The token that was presented is the one that stands in the pass: an installed pass can never change its own.

        Raises:
            UnauthorizedError: unknown or deleted pass, or a token that is not its own.
            RefusedError: the item cannot become a pass; nothing half-built leaves.
            StoreError, ConfigurationError: it could not be read, or not be signed.
        """
        presented = read_header(authorization)
        try:
            stored = self.store.passes.with_version(pass_id)
        except Exception as error:
            if self.keys.accepts(presented, pass_id, own=None):  # all that can be checked without the item
                self.failures.note(pass_id, error, state=None)
            raise
        attributes = check(self.keys, pass_id, stored.attributes if stored else None, presented=presented)
        state = stored.state if stored else VersionState()
        version = state.version
        if version is not None and conditions.hold(version):
            log.event("downloaded", pass_id=pass_id, modified=False)
            return Download(None, validators_of(version))
        if version is None:
            version = Version.before_any_stamp(now, window_seconds=self.window_seconds)
        item: PassItem | None = None
        try:
            item = PassItem.parse(attributes)
            pkpass = self.press.make(
                item,
                personalized=stored is not None and stored.personalized,
                authentication_token=presented,
                web_service_url=web_service_url,
                at=datetime.fromtimestamp(now, UTC),
            )
        except Exception as error:
            self.failures.note(pass_id, error, state=state, item=item)
            raise
        log.event("downloaded", pass_id=pass_id, modified=True, bytes=len(pkpass))
        return Download(pkpass, validators_of(version))
