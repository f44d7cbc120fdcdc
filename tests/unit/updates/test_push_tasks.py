"""Orders as messages: what is written can be read, and so can what older versions wrote."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    decode,
    encode,
)

PASS_ID = PassId("pass.com.example", "Ä/1")
DEVICE = DeviceLibraryIdentifier("d" * 32)


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
def test_an_order_is_read_as_it_was_written(task: PushTask) -> None:
    assert decode(encode(task)) == task


def test_an_order_of_the_version_before_changes_were_followed_is_carried_out() -> None:
    text = json.dumps({"wake": "pass.com.example", "devices": [DEVICE.value], "changed_at": 12})
    assert decode(text) == NotifyDevices("pass.com.example", (DEVICE,), 12, "")


WAKE = {"wake": "pass.com.example", "devices": ["d"], "changed_at": 12.5}


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
        '{"wake": 1}',
        *(
            json.dumps({**WAKE, **wrong})
            for wrong in (
                {"wake": ""},
                {"wake": "a/b"},
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
        '{"wake": "t", "devices": [], "changed_at": ' + "9" * 5000 + "}",
        '{"forget": "no-slash"}',
        '{"fan_out": "pass.a/1", "after": 7, "changed_at": 1}',
        '{"recheck": "pass.a/1", "reason": "because", "at": 1}',
        '{"recheck": "pass.a/1", "reason": "refused"}',
        '{"Records": [{"eventSource": "aws:s3"}]}',
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        decode(text)
    assert "push queue" in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(sorted({*WAKE, "fan_out", "after", "forget", "modified_at", "not_before"})), inner
        )
    ),
)


@given(JSON)
def test_any_json_is_an_order_or_refused(content: object) -> None:
    with contextlib.suppress(RefusedError):
        decode(json.dumps(content))
