"""Tests of registering and unregistering a device."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from chalicelib.aws.queue import Queue
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.wallets import Wallet
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.register import Registrar
from chalicelib.flows.stamp import stamp
from chalicelib.updates.push_tasks import NotifyDevices, PushTask
from tests.schedules.memory import Memory

PASS = PassId("pass.com.acme", "1")
DEVICE = DeviceLibraryIdentifier("d" * 32)
TOKEN, NEW_TOKEN = PushToken("aa"), PushToken("bb")
KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))


@dataclass
class Api:
    """A registrar over tables in memory, which hold one pass."""

    memory: Memory = field(default_factory=Memory)
    sent: list[PushTask] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory.items[PASS] = {"pass_id": str(PASS), "template": "t"}
        self.registrar = Registrar(self.memory.store(), KEYS, cast("Queue", self))

    def send(self, tasks: list[PushTask], **_: object) -> None:
        self.sent += tasks

    def call(self, *, pass_id: PassId = PASS, authorized: bool = True) -> dict[str, Any]:
        token = KEYS.issue(pass_id, item_token=None).value if authorized else "x" * 32
        return {"device": DEVICE, "pass_id": pass_id, "authorization": f"ApplePass {token}"}

    def registers(
        self,
        push_token: PushToken = TOKEN,
        *,
        now: float = 100.0,
        wallet: Wallet = Wallet.APPLE,
        **options: Any,  # noqa: ANN401
    ) -> bool:
        return self.registrar.register(**self.call(**options), push_token=push_token, now=now, wallet=wallet)

    def changes(self, count: int, *, deleted: bool = False) -> None:
        stamp(self.memory.store(), PASS, now=50, changes=count, deleted=deleted)


def test_repeated_registration_is_recognized() -> None:
    api = Api()
    assert api.registers()
    assert not api.registers()


def test_repeated_registration_renews_push_token_and_time() -> None:
    api = Api()
    api.registers(TOKEN, now=100)
    api.registers(NEW_TOKEN, now=200)
    assert api.memory.devices[DEVICE].push_token == NEW_TOKEN
    assert api.memory.registrations[PASS] == {DEVICE: 200}


@pytest.mark.parametrize(("count", "deleted", "pushes"), [(0, False, 0), (1, False, 0), (2, False, 1), (2, True, 0)])
def test_device_gets_a_push_if_the_pass_changed_after_it_was_issued(count: int, pushes: int, *, deleted: bool) -> None:
    """The change may have come between the device's download and its registration."""
    api = Api()
    if count:
        api.changes(count, deleted=deleted)
    api.registers()
    assert [task.devices for task in api.sent if isinstance(task, NotifyDevices)] == [(DEVICE,)] * pushes


def test_wrong_token_and_unknown_pass_are_refused_and_write_nothing() -> None:
    api = Api()
    for options in ({"authorized": False}, {"pass_id": PassId("pass.com.acme", "2")}):
        with pytest.raises(UnauthorizedError):
            api.registers(**options)
    assert api.memory.registrations == {}
    assert api.memory.devices == {}


def test_unregistering_removes_the_registration_and_an_empty_device() -> None:
    api = Api()
    api.registers()
    for _ in range(2):  # repeating it changes nothing
        api.registrar.unregister(**api.call())
        assert api.memory.registrations == {PASS: {}}
        assert api.memory.devices == {}


def test_android_app_gets_no_push_for_a_change_before_its_registration() -> None:
    api = Api()
    api.changes(2)
    api.registers(wallet=Wallet.WALLET_PASSES)
    assert api.sent == []
    assert api.memory.devices[DEVICE].wallet is Wallet.WALLET_PASSES


def test_device_that_registers_with_apples_wallet_again_gets_pushes_again() -> None:
    api = Api()
    api.registers(wallet=Wallet.PASS2U)
    api.registers()
    assert api.memory.devices[DEVICE].wallet is Wallet.APPLE
