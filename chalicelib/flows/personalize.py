"""A person signs up with a pass: device -> API -> what they gave, kept with the pass, and the token signed in answer.

That a pass is personalized is also noted beside its version, where no pipeline's PutItem can undo it: a phone that has
signed a person up must never be asked to do it again.

Apple documents no authorization for this call, so anybody who can reach the API can make it. Two things follow. What is
signed is a `PersonalizationToken`, which cannot be a pass's manifest (`domain/personalization.py`). And without the
pass's token every refusal is the same 401, after the same time: unknown pass, wrong token, a pass that asks for nothing
or not for this, one that is personalized already. With the token, the error says what is wrong. The log says it always.
The setting `PersonalizeAuthorization=required` refuses every call without the token.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib.aws.tables import Store
from chalicelib.aws.tables.passes import StoredPass
from chalicelib.core.authentication import AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.flows.authorize import UnauthorizedError, check, read_header
from chalicelib.flows.stamp import stamp
from chalicelib.passes.builder import PassBuilder
from chalicelib.passes.item import PassItem
from chalicelib.passes.personalization import (
    AlreadyPersonalizedError,
    NotPersonalizableError,
    Personalization,
    PersonalizationError,
    PersonalizationTokenError,
)
from chalicelib.settings import PersonalizeAuthorization
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics

REFUSAL_SECONDS = 0.25
"""How long a refusal without the pass's token takes at least: longer than the reads that some of them end after."""
_REASONS: tuple[tuple[type[RefusedError], str], ...] = (
    (PersonalizationTokenError, "token"),
    (PersonalizationError, "info"),
    (NotPersonalizableError, "not_personalizable"),
    (AlreadyPersonalizedError, "already_personalized"),
    (UnauthorizedError, "unauthorized"),
)
"""Values of the metric's dimension `Reason`; the first that fits counts, and `other` where none does."""


@dataclass(frozen=True, slots=True)
class Personalizer:
    """Answers a sign-up.

    Args:
        authorization: whether a call without the pass's token is refused.
        metrics: counts refusals, `PersonalizationsRefused` by `Reason`.
        clock: monotonic, in seconds.
        sleep: waits for so many seconds.
    """

    store: Store
    keys: AuthenticationKeys
    builder: PassBuilder
    authorization: PersonalizeAuthorization
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Counts and logs whatever refuses a sign-up inside, from the body's form on."""
        try:
            yield
        except RefusedError as error:
            # A refusal that was made to look like the others names its reason as the cause.
            reason = _reason_of(error.__cause__ if isinstance(error.__cause__, RefusedError) else error)
            log.event("personalization_refused", reason=reason, error=str(error.__cause__ or error))
            self.metrics.count("PersonalizationsRefused", 1, reason=reason)
            raise

    def personalize(
        self, *, pass_id: PassId, authorization: str | None, personalization: Personalization, now: float
    ) -> bytes:
        """Keep what the person gave, and sign Wallet's token with the pass's certificate.

        Wallet fetches the pass right after the answer, so it is stamped here and not only by the stream: with the old
        stamp, the fetch would end as "not modified".

        Args:
            authorization: the header, checked where it is sent; Apple documents none for this call.
            now: epoch seconds.

        Returns:
            A detached PKCS#7 signature of the token, DER.

        Raises:
            UnauthorizedError: without the pass's token, any refusal; its cause says which. Nothing was written.
            NotPersonalizableError, AlreadyPersonalizedError, PersonalizationError: the same, with the pass's token.
            RefusedError: the same; the item cannot become a pass.
            StoreError, ConfigurationError: it may have been carried out, or it could not be signed.
        """
        started = self.clock()
        authorized = False
        try:
            stored = self.store.passes.for_download(pass_id)
            if authorization is not None or self.authorization is PersonalizeAuthorization.REQUIRED:
                check(self.keys, pass_id, stored.attributes if stored else None, presented=read_header(authorization))
                authorized = True
            return self._personalize(pass_id, stored, personalization, now=now)
        except RefusedError as error:
            if authorized:
                raise
            self.sleep(max(0.0, started + REFUSAL_SECONDS - self.clock()))
            raise UnauthorizedError from error

    def _personalize(
        self, pass_id: PassId, stored: StoredPass | None, personalization: Personalization, *, now: float
    ) -> bytes:
        attributes = self.store.passes.content(pass_id) if stored is not None else None
        if stored is None or attributes is None:
            raise NotPersonalizableError
        item = PassItem.parse(attributes)
        asked = self.builder.templates.get(item.template).personalization
        if asked is None:
            raise NotPersonalizableError
        if stored.state.personalized:
            raise AlreadyPersonalizedError
        personalization.validate(asked)
        signature = self.builder.signer_for(pass_id.pass_type_identifier).sign_token(
            personalization.token, at=datetime.fromtimestamp(now, UTC)
        )
        if not self.store.passes.personalize(pass_id, personalization.info):
            raise AlreadyPersonalizedError
        stamp(self.store, pass_id, now=now, changes=1, deleted=False)
        log.event("personalized", pass_id=pass_id, given=sorted(personalization.info))
        return signature


def _reason_of(error: RefusedError) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "other")
