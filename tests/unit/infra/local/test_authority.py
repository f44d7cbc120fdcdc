"""The local authority issues one certificate per pass type, whose passes a phone accepts."""

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from infra.local.authority import Authority, AuthorityServer
from infra.local.certificates import DevelopmentChain

PASS_TYPE = "pass.com.acme.tickets"


@pytest.fixture
def issued() -> list[str]:
    return []


@pytest.fixture
def authority(chain: DevelopmentChain, issued: list[str]) -> Authority:
    return Authority(chain, team_identifier="DEVTEAM001", on_issue=issued.append)


def test_certificate_is_for_the_pass_type_and_by_the_chain(authority: Authority, chain: DevelopmentChain) -> None:
    certificate = x509.load_pem_x509_certificate(authority.credentials(PASS_TYPE)["certificate"].encode())
    assert [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.USER_ID)] == [PASS_TYPE]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(chain.intermediate.read_bytes()))


def test_certificate_is_issued_and_reported_once(authority: Authority, issued: list[str]) -> None:
    assert authority.credentials(PASS_TYPE) == authority.credentials(PASS_TYPE)
    assert issued == [PASS_TYPE]


def test_server_answers_with_both_secrets(authority: Authority) -> None:
    with AuthorityServer(authority) as server:
        pass_type, apns_key = httpx.post(f"{server.url}/{PASS_TYPE}").json()
    assert pass_type["apns"] == {"team_identifier": "DEVTEAM001", "key_id": "DEVKEY0001"}
    assert "PRIVATE KEY" in apns_key["private_key"]


def test_server_answers_only_who_knows_its_url(authority: Authority, issued: list[str]) -> None:
    with AuthorityServer(authority) as server:
        host = server.url.rpartition("/")[0]
        assert httpx.post(f"{host}/{PASS_TYPE}").status_code == 404
        assert httpx.get(f"{server.url}/{PASS_TYPE}").status_code == 501
    assert issued == []
