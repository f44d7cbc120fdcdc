"""Android apps that speak Apple's protocol: they register, list and download, and get no push of APNs."""

import secrets
from collections.abc import Mapping

import httpx

from chalicelib.core.identifiers import PassId
from infra.local.phone import Phone
from infra.local.run import LocalRun
from infra.stage.stage import Stage
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually
from tests.support.subscriber import Subscriber

APPS: Mapping[str, Mapping[str, str]] = {
    "wallet_passes": {"Authorization": "AndroidPass", "User-Agent": "WalletPasses/1.5 (Linux; U; Android 14)"},
    "wallet_union": {"Authorization": "WalletUnionPass"},
    "pass2u": {"Authorization": "ApplePass", "X-Pass-Client": "Passes"},
}


def test_android_apps_update_without_a_push(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, phone: Phone, apns: Apns
) -> None:
    """An iPhone and three Android apps hold one pass that changes."""
    subscriber = Subscriber(Stage.open(stack.stage).output("EventBusName"))
    pass_id = pipeline.writes(secrets.token_hex(8), fields={"gate": "A1"})
    eventually(lambda: issuer.issues(pass_id).status_code == 200, "the pass")
    phone.adds(issuer.issues(pass_id).content)
    androids = {app: Phone() for app in APPS}
    with httpx.Client(base_url=stack.api_url, timeout=30) as http:
        for app, android in androids.items():
            url = f"{_device(android, pass_id)}/{pass_id.serial_number}"
            body = {"pushToken": android.push_token}
            assert http.post(url, json=body, headers=_headers(app, "0" * 32)).status_code == 401
            assert http.post(url, json=body, headers=_headers(app, issuer.token(pass_id))).status_code == 201
        pipeline.writes(pass_id.serial_number, fields={"gate": "B2"})
        eventually(lambda: apns.pushes_to(phone), "the push to the iPhone")
        for app, android in androids.items():
            listed = http.get(_device(android, pass_id), headers=_headers(app, issuer.token(pass_id)))
            assert listed.json()["serialNumbers"] == [pass_id.serial_number]
            url = f"/v1/passes/{pass_id.pass_type_identifier}/{pass_id.serial_number}"
            assert http.get(url, headers=_headers(app, issuer.token(pass_id))).content.startswith(b"PK")
            assert http.get(url, headers=_headers(app, "0" * 32)).status_code == 401
            assert apns.pushes_to(android) == []
        events = subscriber.about(pass_id, 5)
        for app, android in androids.items():
            url = f"{_device(android, pass_id)}/{pass_id.serial_number}"
            assert http.delete(url, headers=_headers(app, issuer.token(pass_id))).status_code == 200
            android.close()
    (updated,) = [event for event in events if event["name"] == "pass.updated"]
    assert updated["devices"] == 4
    assert sorted(event["wallet"] for event in events if event["name"] == "pass.registered") == sorted([*APPS, "apple"])
    removed = [event for event in subscriber.about(pass_id, 8) if event["name"] == "pass.unregistered"]
    assert sorted(event["wallet"] for event in removed) == sorted(APPS)
    assert [event["cause"] for event in removed] == ["person"] * 3
    subscriber.close()


def _device(android: Phone, pass_id: PassId) -> str:
    return f"/v1/devices/{android.device_library_identifier}/registrations/{pass_id.pass_type_identifier}"


def _headers(app: str, token: str) -> dict[str, str]:
    return {**APPS[app], "Authorization": f"{APPS[app]['Authorization']} {token}"}
