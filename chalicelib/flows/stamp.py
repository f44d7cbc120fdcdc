"""Stamps the version of a pass after its content has changed, as `updates/protocol.py` requires."""

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
    """Set the stamp to `now` if that is later, else to the current stamp plus one: at most two conditional updates.

    Args:
        store: the tables.
        pass_id: of the pass.
        now: epoch seconds.
        changes: number of content changes that are stamped.
        deleted: True if the item was deleted.
        record: identifies the stream record that is stamped, if the caller then pushes to every device that holds the
            pass (`updates/fan_outs.py`); else empty. A record that is delivered again keeps its stamp, unless a refusal
            was recorded since.
        recheck: stored with the stamp of a recheck, whose caller also pushes to every device; else None.

    Returns:
        The new version.

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
    """The version was removed between two updates; the batch must be retried and stamps again."""

    def __init__(self, pass_id: PassId) -> None:
        super().__init__(f"pass {pass_id}: its version was removed while it was being stamped")
