"""Apple's format through the deployed stack: what phones would refuse is never pushed; texts reach each language."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest

from infra.local.phone import Phone
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.eventually import Apns, eventually


@pytest.fixture
def phones() -> Iterator[dict[str, Phone]]:
    """A phone for each of three languages; the template has no French."""
    there = {language: Phone(language=language) for language in ("en", "de", "fr")}
    yield there
    for phone in there.values():
        phone.close()


WRONG: dict[str, dict[str, Any]] = {
    "overrides.relevantDate": {"overrides": {"relevantDate": Decimal(1782000000)}},
    "overrides.locations[0].latitude": {"overrides": {"locations": [{"latitude": None, "longitude": Decimal("1.5")}]}},
    "overrides.backgroundColor": {"overrides": {"backgroundColor": "Black"}},
    "overrides.description": {"overrides": {"description": None}},
    "fields.gate.textAlignment": {"fields": {"gate": {"value": "B22", "textAlignment": "center", "row": Decimal(7)}}},
    "overrides.semantics.seats": {"overrides": {"semantics": {"seats": {"seatNumber": "1"}}}},
}


def test_item_that_phones_would_refuse_is_reported_and_not_pushed(
    pipeline: Pipeline, apns: Apns, issuer: Issuer, stack: LocalRun, phone: Phone, serial_number: str
) -> None:
    wrong = {f"{serial_number}-{number}": path for number, path in enumerate(WRONG)}
    for each in (serial_number, *wrong):
        assert phone.adds(issuer.issues(pipeline.writes(each, fields={"gate": "A7"})).content) == 201
    versions = boto3.resource("dynamodb").Table(stack.tables["versions"])

    def version(serial_number: str) -> dict[str, Any]:
        key = {"pass_id": f"{pipeline.pass_type_identifier}/{serial_number}"}
        return dict(versions.get_item(Key=key, ConsistentRead=True).get("Item", {}))

    eventually(lambda: all("modified_at" in version(each) for each in (serial_number, *wrong)), "the first stamps")
    stamped = {each: version(each)["modified_at"] for each in wrong}
    for each, path in wrong.items():
        pipeline.writes(each, **WRONG[path])
    pipeline.writes(serial_number, fields={"gate": "B9"})
    eventually(lambda: apns.pushes_to(phone), "the push of the right item")
    assert "Gate changed to B9" in phone.receives_push(pipeline.pass_type_identifier)
    refusals: list[str] = []

    def all_are_refused() -> bool:
        received = boto3.client("sqs").receive_message(QueueUrl=stack.queues["dead_letter"], MaxNumberOfMessages=10)
        refusals.extend(message["Body"] for message in received.get("Messages", []))
        return all(any(each in body and path in body for body in refusals) for each, path in wrong.items())

    assert eventually(all_are_refused, "the refusals in the dead-letter queue")
    assert len(apns.pushes_to(phone)) == 1
    assert "refused" not in version(serial_number)
    for each, path in wrong.items():
        found = version(each)
        assert found["modified_at"] == stamped[each], each
        assert path in found["refused"]["reason"]


def test_a_stored_item_that_would_be_refused_now_is_downloaded_as_before(
    pipeline: Pipeline, issuer: Issuer, phone: Phone, serial_number: str
) -> None:
    pass_id = pipeline.writes(serial_number, overrides={"backgroundColor": "Black", "logoText": "Acme"})
    assert phone.adds(issuer.issues(pass_id).content) == 201
    assert phone.passes[pipeline.pass_type_identifier, serial_number].content["backgroundColor"] == "Black"


def test_a_change_message_reaches_each_person_in_their_language(
    pipeline: Pipeline, apns: Apns, issuer: Issuer, phones: dict[str, Phone], serial_number: str
) -> None:
    pass_id = pipeline.writes(serial_number, fields={"status": {"en": "On time", "de": "Pünktlich"}})
    for phone in phones.values():
        phone.adds(issuer.issues(pass_id).content)
    pipeline.writes(serial_number, fields={"status": {"value": {"en": "Late", "de": "Verspätet", "fr": "En retard"}}})
    eventually(lambda: all(apns.pushes_to(phone) for phone in phones.values()), "the pushes")
    shown = {language: phone.receives_push(pipeline.pass_type_identifier) for language, phone in phones.items()}
    assert shown == {"en": ["Late"], "de": ["Verspätet"], "fr": ["En retard"]}


def test_the_item_of_a_sink_that_knows_no_maps_is_a_pass(
    pipeline: Pipeline, apns: Apns, issuer: Issuer, phone: Phone, serial_number: str
) -> None:
    """As Kafka's DynamoDB sink and reverse-ETL tools write it: a column is an attribute, an empty one NULL."""
    columns = {"fields.seat": None, "overrides.maxDistance": "100", "voided": None, "delete_after": None, "kafka": 5}
    pass_id = pipeline.writes(serial_number, **{"fields.gate": "A7", **columns})
    phone.adds(issuer.issues(pass_id).content)
    installed = phone.passes[pipeline.pass_type_identifier, serial_number]
    assert (installed.fields()["gate"]["value"], installed.content["maxDistance"]) == ("A7", 100)
    pipeline.writes(serial_number, **{"fields.gate": "B22", **columns})
    eventually(lambda: apns.pushes_to(phone), "the push")
    assert phone.receives_push(pipeline.pass_type_identifier) == ["Gate changed to B22"]
