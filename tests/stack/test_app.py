"""Requests in the form of AWS's gateway, and the number of DynamoDB requests that each makes."""

import secrets
from collections.abc import Mapping

import pytest

from infra.deploy.cost import flows
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.caller import JSON, Caller
from tests.support.in_process import DOMAIN, Answer, InProcess
from tests.support.routes import DEVICE, LINK, PASS


@pytest.fixture
def caller(stack: LocalRun, pipeline: Pipeline, issuer: Issuer) -> Caller:
    return Caller(InProcess(stack), pipeline, issuer)


@pytest.mark.parametrize("serial_number", ["a/b", "a%2Fb", "100%", "%", "a b+c", "grüße-東京", "/", "x" * 200])
def test_serial_number_is_decoded_once(caller: Caller, serial_number: str) -> None:
    serial_number = caller.gets_a_pass(serial_number)
    assert caller.registers(serial_number).status == 201
    assert caller.lists().json()["serialNumbers"] == [serial_number]
    assert caller.downloads(serial_number).status == 200
    assert caller.unregisters(serial_number).status == 200


@pytest.mark.parametrize("encoded", ["%ff", "%", "%zz", "a" * 3000])
def test_path_without_a_serial_number_returns_401(caller: Caller, encoded: str) -> None:
    authorization = {"Authorization": "ApplePass " + "0" * 32}
    answer = caller.service.calls("GET", PASS, caller.pass_type_identifier, encoded, headers=authorization)
    assert answer.status == 401
    assert caller.service.calls("GET", DEVICE, encoded, caller.pass_type_identifier).status == 204


def test_pass_contains_the_url_of_its_download(caller: Caller) -> None:
    serial_number = caller.gets_a_pass()
    assert f'"webServiceURL":"https://{DOMAIN}/api"'.encode() in caller.downloads(serial_number).body


def test_download_without_an_accept_header_returns_the_pass(caller: Caller) -> None:
    answer = caller.downloads(caller.gets_a_pass())
    assert answer.status == 200
    assert answer.body[:4] == b"PK\x03\x04"


def test_wrong_token_makes_the_same_requests_as_an_unknown_pass(caller: Caller) -> None:
    """Status, body and database requests do not reveal which passes exist."""
    serial_number = caller.gets_a_pass()
    caller.tokens.clear()
    counted = caller.service.dynamodb_requests()
    seen = []
    for name in (serial_number, serial_number + "-unknown"):
        counted.clear()
        answers = [call(name) for call in (caller.registers, caller.unregisters, caller.downloads)]
        seen.append(([(answer.status, answer.body) for answer in answers], dict(counted)))
    assert seen[0] == seen[1]
    assert {status for status, _ in seen[0][0]} == {401}


def test_item_is_read_only_for_a_valid_token(caller: Caller) -> None:
    """An item may have 400 KB, and the time to read it would reveal that it exists."""
    serial_number = caller.gets_a_pass()
    counted = caller.service.dynamodb_requests()
    assert caller.downloads(serial_number).status == 200
    assert dict(counted) == {"GetItem": 2}  # the version, then the item: the token is derived from the stage's keys
    counted.clear()
    caller.tokens.clear()
    assert caller.downloads(serial_number).status == 401
    assert dict(counted) == {"BatchGetItem": 1}


def test_each_call_makes_the_expected_number_of_requests(caller: Caller) -> None:
    """The numbers that `passwire cost` multiplies; one more read is a defect."""
    counted = caller.service.dynamodb_requests()
    cost: dict[str, Mapping[str, int]] = {}

    def costs(name: str, answer: Answer, status: int) -> None:
        assert answer.status == status, (name, answer)
        cost[name] = dict(counted)
        counted.clear()

    serial_numbers = [caller.gets_a_pass() for _ in range(51)]
    first = serial_numbers[0]
    costs("register", caller.registers(first), 201)
    costs("repeat registration", caller.registers(first), 200)
    costs("list", caller.lists(), 200)
    costs("download", caller.downloads(first), 200)
    costs("download by link", caller.opens(first), 200)
    costs("page of a link", caller.opens(first, query=""), 200)
    costs("invalid link", caller.service.calls("GET", LINK, "none"), 404)
    for serial_number in serial_numbers[1:50]:
        caller.registers(serial_number)
    counted.clear()
    costs("list of 50", caller.lists(), 200)
    caller.registers(serial_numbers[50])
    counted.clear()
    costs("list of 51", caller.lists(), 200)
    costs("unregister", caller.unregisters(first), 200)
    caller.device = secrets.token_hex(16)
    costs("list of an unknown device", caller.lists(), 204)
    costs("log", caller.service.calls("POST", "/v1/log", headers=JSON, body=b'{"logs": ["a"]}'), 200)
    assert cost == {
        "register": flows.REGISTER.requests,
        "repeat registration": flows.REPEAT.requests,
        "unregister": flows.UNREGISTER.requests,
        "list": flows.listing(held=1).requests,
        "list of 50": flows.listing(held=50).requests,
        "list of 51": flows.listing(held=51).requests,
        "list of an unknown device": flows.listing(held=0).requests,
        "download": flows.DOWNLOAD.requests,
        "download by link": flows.DOWNLOAD.requests,
        "page of a link": flows.DOWNLOAD.requests,
        "invalid link": {},
        "log": {},
    }
