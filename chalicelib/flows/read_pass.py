"""Reads a pass for delivery: first its version, then its item.

In this order the content is never older than the stamp that it is served under: every change that the stamp counts was
in the table before the stamp was written, so before the item is read. The other way round, a change and its stamp
between the two reads would give old content the new `Last-Modified`, and the device's next conditional request would
end as 304.

Two GetItems cost half of the TransactGetItems that would read both at one moment (DynamoDB, "Read consistency and
transactions": a transactional read costs two units where a strongly consistent one costs one).
"""

from dataclasses import dataclass, field

from chalicelib.domain.identifiers import PassId
from chalicelib.domain.updates import Version
from chalicelib.store import Store


@dataclass(frozen=True, slots=True)
class StoredPass:
    """A pass item, not yet parsed, with a version that it is at least as new as.

    Args:
        attributes: all attributes of the item.
        version: None before the first stamp.
        personalized: whether a person has signed up with the pass.
    """

    attributes: dict[str, object] = field(repr=False)
    version: Version | None = None
    personalized: bool = False


def read_pass(store: Store, pass_id: PassId) -> StoredPass | None:
    """The pass as it is now, by two requests; None where there is no such pass.

    Raises:
        StoreError: DynamoDB did not answer.
    """
    state = store.versions.state(pass_id)
    attributes = store.passes.get(pass_id)
    if attributes is None:
        return None
    return StoredPass(attributes, state.version, personalized=state.personalized)
