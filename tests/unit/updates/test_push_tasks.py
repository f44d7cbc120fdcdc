"""Tests of push tasks as messages: they are read back, also those of older versions; other texts are refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.pacing import MAX_DEVICES_PER_SEND
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    decode,
    encode,
    in_chunks,
    message_group,
)

PASS_ID = PassId("pass.com.example", "Ä/1")
DEVICE = DeviceLibraryIdentifier("d" * 32)
NOTIFY = {"wake": "pass.com.example", "devices": ["d"], "changed_at": 12.5}  # prose: message format


@pytest.mark.parametrize(
    "task",
    [
        NotifyDevices("pass.com.example", (DEVICE,), 12.5, "change-1"),
        NotifyDevices("pass.com.example", (DEVICE,), 12.5),
        FanOut(PASS_ID, DEVICE, 12.5, "change-1"),
        FanOut(PASS_ID, None, 12.5),
        RemoveRegistrations(PASS_ID),
        NotifyDevices("pass.com.example", (DEVICE,), 12.5, "change-1", not_before=99.5),
        FanOut(PASS_ID, DEVICE, 12.5, "change-1", modified_at=7),
        FanOut(PASS_ID, None, 12.5, modified_at=7),
        RemoveRegistrations(PASS_ID, modified_at=7, not_before=99.0),
        *(Recheck(PASS_ID, reason, 12.5, "change-1") for reason in RecheckReason),
        Recheck(PASS_ID, RecheckReason.DOWNLOAD, 12.5),
    ],
    ids=repr,
)
def test_push_task_is_read_back(task: PushTask) -> None:
    assert decode(encode(task)) == task


def test_push_task_of_a_version_without_change_ids_is_read() -> None:
    text = json.dumps({**NOTIFY, "devices": [DEVICE.value], "changed_at": 12})
    assert decode(text) == NotifyDevices("pass.com.example", (DEVICE,), 12, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "null",
        "[" * 2000 + "]" * 2000,
        '{"a":' * 50_000,
        "9" * 5000,
        '{"wake": 1}',  # prose: message format
        *(
            json.dumps({**NOTIFY, **wrong})
            for wrong in (
                {"wake": ""},  # prose: message format
                {"wake": "a/b"},  # prose: message format
                {"devices": [1]},
                {"devices": [None]},
                {"devices": [{"a": 1}]},
                {"devices": ["has space"]},
                {"devices": "d"},
                {"changed_at": "x"},
                {"changed_at": True},
                {"changed_at": -1},
                {"changed_at": 10**400},
                {"changed_at": float("nan")},
                {"changed_at": float("inf")},
                {"change": 7},
                {"not_before": "x"},
                {"not_before": None},
                {"not_before": True},
                {"not_before": -1},
                {"not_before": float("nan")},
            )
        ),
        *(
            json.dumps({**kind, "modified_at": wrong})
            for kind in ({"fan_out": "pass.a/1", "after": None, "changed_at": 1}, {"forget": "pass.a/1"})
            for wrong in ("7", 7.5, True, -7, None, 10**400)
        ),
        '{"forget": "pass.a/1", "not_before": "x"}',
        '{"wake": "t", "devices": [], "changed_at": ' + "9" * 5000 + "}",  # prose: message format
        '{"forget": "no-slash"}',
        '{"fan_out": "pass.a/1", "after": 7, "changed_at": 1}',
        '{"recheck": "pass.a/1", "reason": "because", "at": 1}',
        '{"recheck": "pass.a/1", "reason": "refused"}',
        '{"Records": [{"eventSource": "aws:s3"}]}',
    ],
    ids=lambda text: text[:40],
)
def test_other_message_is_refused(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        decode(text)
    assert "push queue" in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(sorted({*NOTIFY, "fan_out", "after", "forget", "modified_at", "not_before"})), inner
        )
    ),
)


@given(JSON)
def test_any_json_is_a_push_task_or_refused(content: object) -> None:
    with contextlib.suppress(RefusedError):
        decode(json.dumps(content))


@given(st.integers(0, 3 * MAX_DEVICES_PER_SEND))
def test_parts_of_a_push_task_have_all_its_devices_in_order(count: int) -> None:
    task = NotifyDevices(
        "pass.com.example", tuple(DeviceLibraryIdentifier(f"{number:032}") for number in range(count)), 12.5, "change-1"
    )
    parts = in_chunks(task)
    assert [device for part in parts for device in part.devices] == list(task.devices)
    assert all(0 < len(part.devices) <= MAX_DEVICES_PER_SEND for part in parts)
    assert {(part.pass_type_identifier, part.changed_at, part.change) for part in parts} <= {
        ("pass.com.example", 12.5, "change-1")
    }


def test_largest_push_task_fits_a_message() -> None:
    devices = tuple(DeviceLibraryIdentifier(f"{number:0256}") for number in range(MAX_DEVICES_PER_SEND))
    assert len(encode(NotifyDevices("pass." + "x" * 200, devices, 12.5, "c" * 128))) < 256 * 1024


@pytest.mark.parametrize(
    ("change", "group"),
    [("request-1", "request-1"), ("x" * 128, "x" * 128), ("", None), ("x" * 129, None), ("a b", None), ("ä", None)],
)
def test_tasks_of_a_change_share_a_message_group_that_sqs_accepts(change: str, group: str | None) -> None:
    for task in (
        NotifyDevices("pass.com.example", (DEVICE,), 12.5, change),
        FanOut(PASS_ID, None, 12.5, change),
        Recheck(PASS_ID, RecheckReason.REFUSED, 12.5, change),
    ):
        assert message_group(task) == group


def test_removal_of_registrations_has_no_message_group() -> None:
    assert message_group(RemoveRegistrations(PASS_ID)) is None
