"""Least privilege: each function's policy grants what its flows and Lambda use, and nothing else.

The tests call every flow through the entry points of the functions, with the tables, queues, secrets and bucket of the
local run, while `tests/support/permissions.py` records the AWS calls. That plugin also checks the rest of the suite.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from rich.console import Console
from rich.table import Table

from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId
from chalicelib.updates.push_tasks import (
    FanOut,
    NotifyDevices,
    PushTask,
    Recheck,
    RecheckReason,
    RemoveRegistrations,
    encode,
)
from infra.deploy.slim import OPERATIONS
from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.first_events import EVERY_DAY, registration_event
from tests.support.in_process import InProcess
from tests.support.permissions import LAMBDAS_OWN, WITHOUT_RESOURCE, functions, granted, recording
from tests.support.routes import DEVICE, LINK, PASS, REGISTRATION

pytestmark = pytest.mark.timeout(300)
JSON = {"Content-Type": "application/json"}
SIGN_UP = {
    "personalizationToken": "dG9rZW4=",
    "requiredPersonalizationInfo": {"fullName": "Ada Lovelace", "emailAddress": "ada@example.com"},
}
_SERIALIZER = TypeSerializer()


class Tour:
    """A device and a pipeline that reach every branch of the flows that makes AWS calls."""

    def __init__(self, stack: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone) -> None:
        self._stack, self._pipeline, self._issuer = stack, pipeline, issuer
        self._api, self._push, self._worker, self._events, self._check_certificates = (
            InProcess(stack, PASSWIRE_DOWNLOAD_EVENTS="on") for _ in range(5)
        )
        """One execution environment per function, so that no function uses what another one has cached."""
        dynamodb = boto3.resource("dynamodb")
        self._versions, self._devices = (dynamodb.Table(stack.tables[role]) for role in ("versions", "devices"))
        self.phone = phone
        self.is_another_phone()

    def is_another_phone(self) -> None:
        """Use a new device, for which the deployed functions have no push tasks."""
        self.device = DeviceLibraryIdentifier(secrets.token_hex(16))
        self.phone.push_token = secrets.token_hex(32)

    def holds(self, *, template: str = "boarding", **attributes: object) -> PassId:
        """Issue a pass, wait for its version, and register it."""
        pass_id = self._pipeline.writes(secrets.token_hex(8), template=template, **attributes)
        eventually(lambda: self._stamped(pass_id), "the first stamp")
        assert self.registers(pass_id) == 201
        return pass_id

    def has_image(self) -> str:
        """Store an image of a single pass; returns its key."""
        key = secrets.token_hex(32)
        boto3.client("s3").put_object(Bucket=self._stack.templates_bucket, Key=f"images/{key}", Body=b"png")
        return key

    def has_no_template(self) -> PassId:
        """Write an item whose template does not exist."""
        return self._pipeline.writes(secrets.token_hex(8), template="unknown")

    def holds_many(self) -> None:
        """Add more passes to the device than one transaction can remove."""
        self._devices.update_item(
            Key={"device_library_identifier": self.device.value},
            UpdateExpression="ADD passes :passes",
            ExpressionAttributeValues={":passes": {f"pass.dev.passwire.boarding/many-{n}" for n in range(120)}},
        )

    def registers(self, pass_id: PassId) -> int:
        body = json.dumps({"pushToken": self.phone.push_token}).encode()
        return self._calls("POST", REGISTRATION, self.device.value, *_path(pass_id), of=pass_id, body=body)

    def unregisters(self, pass_id: PassId) -> int:
        return self._calls("DELETE", REGISTRATION, self.device.value, *_path(pass_id), of=pass_id)

    def lists(self, pass_id: PassId) -> int:
        return self._calls("GET", DEVICE, self.device.value, pass_id.pass_type_identifier, of=pass_id)

    def downloads(self, pass_id: PassId) -> int:
        return self._calls("GET", PASS, *_path(pass_id), of=pass_id)

    def downloads_with_a_wrong_token(self, pass_id: PassId) -> int:
        """Download with a wrong token, which is compared with the token in the item by a further read."""
        return self._api.calls("GET", PASS, *_path(pass_id), headers={"Authorization": f"ApplePass {'0' * 32}"}).status

    def opens_link(self, pass_id: PassId) -> int:
        return self._api.calls("GET", LINK, self._issuer.link_token(pass_id)).status

    def personalizes(self, pass_id: PassId) -> int:
        return self._calls(
            "POST", PASS + "/personalize", *_path(pass_id), of=pass_id, body=json.dumps(SIGN_UP).encode()
        )

    def changes(self, *pass_ids: PassId, **new: object) -> None:
        """Call the push function with changes; without attributes, with deletions."""
        records = []
        for pass_id in pass_ids:
            old = {"pass_id": str(pass_id), "template": "boarding", "fields": {"gate": "A1"}}
            images = {"OldImage": old, **({"NewImage": {**old, **new}} if new else {})}
            records.append(
                {
                    "dynamodb": {
                        "Keys": {"pass_id": {"S": str(pass_id)}},
                        "SequenceNumber": str(time.monotonic_ns()),
                        "ApproximateCreationDateTime": time.time(),
                        **{name: _SERIALIZER.serialize(image)["M"] for name, image in images.items()},
                    }
                }
            )
        answer = self._push.invoke("push", {"Records": records})
        assert answer == {"batchItemFailures": []}

    def works(self, *tasks: PushTask) -> None:
        """Call the push worker with push tasks; their receipt handles are invalid, so postponing them fails."""
        records = [
            {
                "messageId": str(number),
                "receiptHandle": secrets.token_hex(8),
                "attributes": {"ApproximateReceiveCount": "1"},
                "body": encode(task),
            }
            for number, task in enumerate(tasks)
        ]
        self._worker.invoke("push_worker", {"Records": records}, remaining_seconds=120)

    def publishes(self, pass_id: PassId) -> None:
        """Call the events function: a device registers for a pass without earlier events, and unregisters."""
        for number, removed in ((1, False), (2, True)):
            event = registration_event(str(pass_id), number, device=self.device.value, removed=removed)
            assert self._events.invoke("publish_events", event) == {"batchItemFailures": []}

    def measures(self) -> None:
        """Call the daily check of the certificates; one cannot be used, which is an event."""
        name = f"passwire/{self._stack.stage}/pass-types/pass.damaged.{secrets.token_hex(4)}"
        manager = boto3.client("secretsmanager")
        manager.create_secret(Name=name, SecretString="{}")
        try:
            self._check_certificates.invoke("check_certificates", EVERY_DAY)
        finally:
            manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    def deletes(self, pass_id: PassId) -> None:
        self._pipeline.deletes(pass_id)

    def _stamped(self, pass_id: PassId) -> bool:
        return "Item" in self._versions.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True)

    def _calls(self, method: str, route: str, *parameters: str, of: PassId, body: bytes | None = None) -> int:
        headers = {"Authorization": f"ApplePass {self._issuer.token(of)}", **(JSON if body else {})}
        return self._api.calls(method, route, *parameters, headers=headers, body=body).status


@pytest.fixture
def tour(stack: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone) -> Tour:
    return Tour(stack, pipeline, issuer, phone)


def test_policies_grant_exactly_what_is_used(tour: Tour, apns: Apns) -> None:
    with recording() as recorder:
        _call_every_flow(tour, apns)
    used = {name: recorder.uses.get(name, set()) | LAMBDAS_OWN[name] for name in functions()}
    allowed = {name: granted(policy) for name, policy in functions().items()}
    called = {service: {o for s, o in recorder.operations if s == service} for service in OPERATIONS}
    _print(used, allowed)
    assert {name: sorted(allowed[name] - used[name]) for name in used} == {name: [] for name in used}, "not used"
    assert {name: sorted(used[name] - allowed[name]) for name in used} == {name: [] for name in used}, "not granted"
    assert called == OPERATIONS, "OPERATIONS in infra/deploy/slim.py differ from those that are used"


def test_only_actions_without_resource_types_are_granted_on_all_resources() -> None:
    everything = {action for policy in functions().values() for action, on in granted(policy) if on == "*"}
    assert everything <= WITHOUT_RESOURCE
    assert not [action for policy in functions().values() for action, _ in granted(policy) if "*" in action]


def test_api_function_may_update_only_the_personalization_of_passes(tour: Tour) -> None:
    """AWS, "Using IAM policy conditions for fine-grained access control": `dynamodb:Attributes`."""
    with recording() as recorder:
        assert tour.personalizes(tour.holds(template="rewards")) == 200
    granted_by = [
        statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]
        for statement in json.loads(functions()["api_handler"].read_text())["Statement"]
        if "dynamodb:UpdateItem" in statement["Action"]
        and statement["Resource"] == {"Fn::GetAtt": ["PassesTable", "Arn"]}
    ]
    assert [set(attributes) for attributes in granted_by] == [recorder.updated["api_handler"]]
    assert recorder.updated["api_handler"] == {"pass_id", "personalization"}


def test_only_functions_that_push_may_read_apns_keys() -> None:
    readers = {
        name for name, policy in functions().items() if any(on == "secret apns-keys" for _, on in granted(policy))
    }
    assert readers == {"push", "push_worker"}


def test_each_function_has_its_own_role() -> None:
    assert len(set(functions().values())) == len(functions())


def _call_every_flow(tour: Tour, apns: Apns) -> None:
    held, other = tour.holds(), tour.holds()
    assert tour.registers(held) == 200
    assert tour.lists(held) == 200
    assert tour.downloads(held) == 200
    assert tour.downloads_with_a_wrong_token(held) == 401
    assert tour.opens_link(held) == 200
    image = {"logo": tour.has_image()}
    assert tour.downloads(tour.holds(images=image)) == 200
    tour.changes(held, images=image)
    assert tour.personalizes(tour.holds(template="rewards")) == 200

    tour.changes(held, fields={"gate": "B2"})
    assert tour.registers(held) == 200  # queues a push, since the pass has changed since it was issued
    assert apns.pushes_to(tour.phone)
    tour.changes(held, fields={"gate": "A1"})  # its earlier content, for which the refusal is looked up
    tour.changes(held, template="unknown")
    tour.works(Recheck(held, RecheckReason.UNSETTLED, time.time()))
    tour.works(Recheck(tour.has_no_template(), RecheckReason.UNSETTLED, time.time()))
    tour.works(NotifyDevices(held.pass_type_identifier, (tour.device,), time.time()))
    tour.works(FanOut(held, after=None, changed_at=time.time()))
    apns.answers(tour.phone, status=503, reason="ServiceUnavailable")
    tour.works(NotifyDevices(held.pass_type_identifier, (tour.device,), time.time()))
    apns.is_well_again(tour.phone)

    ways: tuple[Callable[[PassId], None], ...] = (
        lambda of: tour.changes(of, fields={"gate": "B3"}),
        lambda of: tour.works(NotifyDevices(of.pass_type_identifier, (tour.device,), time.time())),
    )
    for forget in ways:
        tour.is_another_phone()
        alone = tour.holds()
        tour.holds_many()
        apns.answers(tour.phone, status=410, reason="Unregistered", timestamp=int(time.time() * 1000) + 60_000)
        forget(alone)
        assert tour.registers(alone) == 201
        apns.is_well_again(tour.phone)

    refuses_many: tuple[Callable[[PassId, tuple[DeviceLibraryIdentifier, ...]], None], ...] = (
        lambda of, _: tour.changes(of, fields={"gate": "B4"}),
        lambda of, devices: tour.works(NotifyDevices(of.pass_type_identifier, devices, time.time())),
    )
    for refuse in refuses_many:
        tour.is_another_phone()
        refused = tour.holds()
        apns.answers(tour.phone, status=400, reason="BadDeviceToken")  # is marked, and the last delivery is read
        devices = [tour.device]
        for _ in range(6):
            tour.is_another_phone()
            assert tour.registers(refused) == 201  # before the change: the stack beside the tour pushes to none of them
            apns.answers(tour.phone, status=410, reason="Unregistered")  # are held
            devices.append(tour.device)
        refuse(refused, tuple(devices))

    assert tour.registers(held) == 201
    assert tour.unregisters(held) == 200
    assert tour.registers(other) == 201
    tour.deletes(other)
    tour.changes(other)
    tour.works(RemoveRegistrations(other))
    tour.publishes(PassId(held.pass_type_identifier, secrets.token_hex(8)))
    tour.measures()


def _path(pass_id: PassId) -> tuple[str, str]:
    return pass_id.pass_type_identifier, quote(pass_id.serial_number, safe="")


def _print(used: Mapping[str, set[tuple[str, str]]], allowed: Mapping[str, set[tuple[str, str]]]) -> None:
    """Print the table that `make policies` shows."""
    table = Table(title="IAM actions: granted and used")
    for heading in ("action", "on", *used):
        table.add_column(heading)
    for action, on in sorted(set[tuple[str, str]]().union(*used.values(), *allowed.values())):
        cells = []
        for name in used:
            grants, uses = (action, on) in allowed[name], (action, on) in used[name]
            own = " (Lambda)" if (action, on) in LAMBDAS_OWN[name] else ""
            cells.append(
                {(1, 1): f"yes{own}", (1, 0): "GRANTED, NOT USED", (0, 1): "USED, NOT GRANTED"}.get((grants, uses), "")
            )
        table.add_row(action, on, *cells)
    Console(width=150).print(table)
