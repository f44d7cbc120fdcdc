"""Tests of reading a version's row."""

from decimal import Decimal

from chalicelib.aws.tables.versions import state_of, version_of
from chalicelib.updates.protocol import RecheckRequest, RecheckStamp, Refusal, Version, VersionState


def test_row_without_a_stamp_has_no_version() -> None:
    assert version_of({"pass_id": "pass.a/1", "revision": Decimal(3)}) is None
    assert state_of({"pass_id": "pass.a/1"}) == VersionState()


def test_first_stamp_is_read_with_the_defaults() -> None:
    row = {"modified_at": Decimal(100), "revision": Decimal(1)}
    assert version_of(row) == Version(100, revision=1)


def test_all_of_a_version_is_read() -> None:
    row = {
        "modified_at": Decimal(100),
        "revision": Decimal(7),
        "deleted": True,
        "announced": Decimal(90),
        "last_record": "r",
        "fan_out": "{}",
    }
    assert version_of(row) == Version(100, 7, deleted=True, announced=90, last_record="r", fanned_out=True)


def test_refusal_recheck_and_personalization_are_read_without_a_version() -> None:
    row = {
        "refused": {"reason": "gate: no such field", "template": "boarding", "refused_at": Decimal(5)},
        "recheck_request": {"requested_at": Decimal(6), "modified_at": Decimal(0)},
        "recheck_stamp": {"message_id": "m", "stamped_at": Decimal(7)},
        "personalized": True,
    }
    assert state_of(row) == VersionState(
        version=None,
        refusal=Refusal("gate: no such field", "boarding", 5),
        recheck_request=RecheckRequest(6, 0),
        recheck_stamp=RecheckStamp("m", 7),
        personalized=True,
    )
