"""A person signs up with a pass: device -> API -> the person's data with the pass, and the signed token as the answer.

The versions table also records that a pass is personalized, where a pipeline's PutItem cannot undo it: a device must
never be asked again to sign up a person.

Apple documents no authorization for this call, so anyone who can reach the API can make it. This has two consequences.
Only a `PersonalizationToken` is signed, which cannot be the manifest of a pass (`passes/personalization.py`). And
without the pass's token every refusal is the same 401 after the same time: for an unknown pass, a wrong token, a pass
that requires no or other data, a pass that is personalized already. With the token, the error says what is wrong. The
log always does. The setting `PersonalizeAuthorization=required` refuses every call without the token.
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
"""Minimum duration of a refusal without the pass's token: longer than the reads that precede some refusals."""
_REASONS: tuple[tuple[type[RefusedError], str], ...] = (
    (PersonalizationTokenError, "token"),
    (PersonalizationError, "info"),
    (NotPersonalizableError, "not_personalizable"),
    (AlreadyPersonalizedError, "already_personalized"),
    (UnauthorizedError, "unauthorized"),
)
"""Values of the metric's dimension `Reason`: the first that matches, else `other`."""


@dataclass(frozen=True, slots=True)
class Personalizer:
    """Answers sign-ups.

    Args:
        store: the tables.
        keys: the stage's keys, from which tokens are derived.
        builder: has the templates and the signers.
        authorization: decides if a call without the pass's token is refused.
        metrics: counts refusals, `PersonalizationsRefused` by `Reason`.
        clock: monotonic, in seconds.
        sleep: waits for the given seconds.
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
        """Count and log every refusal of a sign-up inside the block, including those of an invalid body."""
        try:
            yield
        except RefusedError as error:
            # A refusal that looks like the others has its reason as its cause.
            reason = _reason_of(error.__cause__ if isinstance(error.__cause__, RefusedError) else error)
            log.event("personalization_refused", reason=reason, error=str(error.__cause__ or error))
            self.metrics.count("PersonalizationsRefused", 1, reason=reason)
            raise

    def personalize(
        self, *, pass_id: PassId, authorization: str | None, personalization: Personalization, now: float
    ) -> bytes:
        """Store the person's data, and sign Wallet's token with the pass's certificate.

        Wallet downloads the pass right after the answer, so it is stamped here and not only by the stream handler: with
        the old stamp, the download would get 304.

        Args:
            pass_id: of the pass.
            authorization: the header, checked if it is sent; Apple documents none for this call.
            personalization: the person's data and the token to sign.
            now: epoch seconds.

        Returns:
            A detached PKCS#7 signature of the token, DER.

        Raises:
            UnauthorizedError: any refusal without the pass's token; its cause says which. Nothing was written.
            NotPersonalizableError, AlreadyPersonalizedError, PersonalizationError: a refusal with the pass's token.
            RefusedError: the item cannot become a pass. Nothing was written.
            StoreError: DynamoDB did not answer; it may have been carried out.
            ConfigurationError: the token cannot be signed. Nothing was written.
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
        required = self.builder.templates.get(item.template).personalization
        if required is None:
            raise NotPersonalizableError
        if stored.state.personalized:
            raise AlreadyPersonalizedError
        personalization.validate(required)
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
