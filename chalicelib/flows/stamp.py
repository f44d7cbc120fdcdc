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
    record: str = "",
    recheck: RecheckStamp | None = None,
) -> Version:
    """Two conditional updates and no read: `now` where that is later, else one more than what is there.

    Args:
        store: where versions are.
        pass_id: which pass.
        now: epoch seconds.
        changes: how many are stamped.
        deleted: whether the pass is gone.
        record: the stream record that is stamped, where the caller then tells every device that holds the pass
            (`domain/fan_outs.py`); empty where it does not. A record that is handed out again keeps its stamp, unless
            a refusal was recorded since.
        recheck: kept with the stamp, where it is a recheck that stamps; it, too, then tells every device.

    Raises:
        StoreError: DynamoDB did not carry it out.
    """
    versions = store.versions
    version = versions.stamp_at(pass_id, now=int(now), changes=changes, deleted=deleted, record=record, recheck=recheck)
    if version is None:
        version = versions.stamp_next(pass_id, changes=changes, deleted=deleted, record=record, recheck=recheck)
    if version is None and record:
        found = versions.get(pass_id)
        version = found if found is not None and found.last_record == record else None
    if version is None:
        raise StampLostError(pass_id)
    return version


class StampLostError(TransientError):
    """Somebody removed the version between two updates; the batch comes again and stamps anew."""

    def __init__(self, pass_id: PassId) -> None:
        super().__init__(f"pass {pass_id}: its version was removed while it was being stamped")
