"""Orders as messages: what is written can be read, and so can what older versions wrote."""

import json

import pytest

from chalicelib.domain.errors import RefusedError
from chalicelib.domain.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.domain.orders import FanOut, Forget, Order, WakeDevices, decode, encode

PASS_ID = PassId("pass.com.example", "Ä/1")
DEVICE = DeviceLibraryIdentifier("d" * 32)


@pytest.mark.parametrize(
    "order",
    [
        WakeDevices("pass.com.example", (DEVICE,), 12.5, "change-1"),
        WakeDevices("pass.com.example", (DEVICE,), 12.5),
        FanOut(PASS_ID, DEVICE, 12.5, "change-1"),
        FanOut(PASS_ID, None, 12.5),
        Forget(PASS_ID),
    ],
    ids=repr,
)
def test_an_order_is_read_as_it_was_written(order: Order) -> None:
    assert decode(encode(order)) == order


def test_an_order_of_the_version_before_changes_were_followed_is_carried_out() -> None:
    text = json.dumps({"wake": "pass.com.example", "devices": [DEVICE.value], "changed_at": 12})
    assert decode(text) == WakeDevices("pass.com.example", (DEVICE,), 12, "")


@pytest.mark.parametrize("text", ["", "[]", "7", '{"wake": 1}', '{"wake": "t", "devices": [1], "changed_at": "x"}'])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        decode(text)
