"""Stamping a pass's version, as `updates/protocol.py` demands: by whatever has changed what devices get."""

from chalicelib.aws.tables import Store
from chalicelib.core.errors import TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.updates.protocol import RecheckStamp, Version


def stamp(
    store: Store,
    pass_id: PassId,
    *,
    now: float,
    changes: int,
    deleted: bool,
    recheck: RecheckStamp | None = None,
) -> Version:
    """Two conditional updates and no read: `now` where that is later, else one more than what is there.

    Raises:
        StoreError: DynamoDB did not carry it out.
    """
    version = store.versions.stamp_at(pass_id, now=int(now), changes=changes, deleted=deleted, recheck=recheck)
    if version is None:
        version = store.versions.stamp_next(pass_id, changes=changes, deleted=deleted, recheck=recheck)
    if version is None:
        raise StampLostError(pass_id)
    return version


class StampLostError(TransientError):
    """Somebody removed the version between two updates; the batch comes again and stamps anew."""

    def __init__(self, pass_id: PassId) -> None:
        super().__init__(f"pass {pass_id}: its version was removed while it was being stamped")
