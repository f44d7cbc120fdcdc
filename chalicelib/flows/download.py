"""A device downloads a pass: device -> API -> the pass, signed, unless the device has it already."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib import log
from chalicelib.domain.authentication import AuthenticationKeys
from chalicelib.domain.conditional import Conditions, Validators, validators_of
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.items import PassItem
from chalicelib.domain.updates import Version
from chalicelib.flows.authorize import authorize, check, read_header
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
        window_seconds: W of the update protocol.
    """

    store: Store
    keys: AuthenticationKeys
    press: Press
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
        """The pass as it is now, by two reads: the version, then the item. `now` is epoch seconds.

        Why in this order: `flows/read_pass.py`. A device that has this version costs the item's token only.

        A token that is derived from our keys is checked without a read, so that the item has to be read only once. Any
        other token can only be the one that stands in the item. It is looked up first, by itself: refusing it takes the
        same time whether the pass exists or not, and however large its item is.

        The presented token is put into the pass: an installed pass can never change its own.

        Raises:
            UnauthorizedError: unknown or deleted pass, or a token that is not its own.
            RefusedError: the item cannot become a pass; nothing half-built leaves.
            StoreError, ConfigurationError: it could not be read, or not be signed.
        """
        presented = read_header(authorization)
        if not self.keys.accepts(presented, pass_id, own=None):
            authorize(self.store, self.keys, pass_id, authorization=authorization)
        state = self.store.versions.state(pass_id)
        version = state.version
        if version is not None and conditions.hold(version):
            authorize(self.store, self.keys, pass_id, authorization=authorization)
            log.event("downloaded", pass_id=pass_id, modified=False)
            return Download(None, validators_of(version))
        attributes = check(self.keys, pass_id, self.store.passes.get(pass_id), presented=presented)
        if version is None:
            version = Version.before_any_stamp(now, window_seconds=self.window_seconds)
        pkpass = self.press.make(
            PassItem.parse(attributes),
            personalized=state.personalized,
            authentication_token=presented,
            web_service_url=web_service_url,
            at=datetime.fromtimestamp(now, UTC),
        )
        log.event("downloaded", pass_id=pass_id, modified=True, bytes=len(pkpass))
        return Download(pkpass, validators_of(version))
