"""A person signs up with a pass: device -> API -> what they gave, kept with the pass, and the token signed in answer.

That a pass is personalized is also noted beside its version, where no pipeline's PutItem can undo it: a phone that has
signed a person up must never be asked to do it again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from chalicelib import log
from chalicelib.domain.authentication import AuthenticationKeys
from chalicelib.domain.identifiers import PassId
from chalicelib.domain.items import PassItem
from chalicelib.domain.personalization import AlreadyPersonalizedError, NotPersonalizableError, Personalization
from chalicelib.flows.authorize import check, read_header
from chalicelib.flows.stamp import stamp
from chalicelib.press import Press
from chalicelib.store import Store


@dataclass(frozen=True, slots=True)
class Personalizer:
    """What answers a sign-up."""

    store: Store
    keys: AuthenticationKeys
    press: Press

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
            UnauthorizedError: a token was presented that is not the pass's own. Nothing was written.
            NotPersonalizableError, AlreadyPersonalizedError, PersonalizationError: likewise.
            StoreError, ConfigurationError: it may have been carried out, or it could not be signed.
        """
        state = self.store.versions.state(pass_id)
        attributes = self.store.passes.content(pass_id)
        if authorization is not None:
            check(self.keys, pass_id, attributes, presented=read_header(authorization))
        if attributes is None:
            raise NotPersonalizableError
        item = PassItem.parse(attributes)
        asked = self.press.templates.get(item.template).personalization
        if asked is None:
            raise NotPersonalizableError
        if state.personalized:
            raise AlreadyPersonalizedError
        personalization.require(asked)
        signature = self.press.signer_for(pass_id.pass_type_identifier).sign(
            personalization.token.encode(), at=datetime.fromtimestamp(now, UTC)
        )
        if not self.store.passes.personalize(pass_id, personalization.info):
            raise AlreadyPersonalizedError
        stamp(self.store, pass_id, now=now, changes=1, deleted=False)
        log.event("personalized", pass_id=pass_id, given=sorted(personalization.info))
        return signature
