"""The URL that phones call is valid, and only a person can confirm that it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.deploy.errors import DeployError
from infra.deploy.parameters import read_parameters
from infra.deploy.web_service_url import address_of

HOST = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){1,3}", fullmatch=True
).filter(lambda host: not host.endswith((".local", ".localhost")))
PATH = st.from_regex(r"(/[a-z0-9_-]{1,12}){0,3}", fullmatch=True).filter(lambda path: not path.endswith("/v1"))


@given(host=HOST, path=PATH, port=st.sampled_from(["", ":443", ":8443"]))
def test_https_url_of_a_public_host_is_accepted(host: str, path: str, port: str) -> None:
    url = f"https://{host}{port}{path}"
    assert read_parameters([], web_service_url=url) == {"WebServiceUrl": url}


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://passes.example.com", "https only"),
        ("passes.example.com", "https only"),
        ("ftp://passes.example.com", "https only"),
        ("https://passes.example.com/", "must not end with a slash"),
        ("https://passes.example.com/api/", "must not end with a slash"),
        ("https://passes.example.com/v1", "must not end in /v1"),
        ("https://passes.example.com/api/v1", "must not end in /v1"),
        ("https://passes.example.com/api?stage=dev", "query or a fragment"),
        ("https://passes.example.com#x", "query or a fragment"),
        ("https://user:word@passes.example.com", "user name"),
        ("https://localhost", "the phone itself"),
        ("https://localhost:4566", "the phone itself"),
        ("https://dev.localhost", "the phone itself"),
        ("https://my-mac.local", "the phone itself"),
        ("https://127.0.0.1", "the phone itself"),
        ("https://127.8.8.8:443", "the phone itself"),
        ("https://[::1]", "the phone itself"),
        ("https://0.0.0.0", "the phone itself"),
        ("https://192.168.1.7", "private network"),
        ("https://10.0.0.1/api", "private network"),
        ("https://passes", "no valid public host name"),
        ("https:///api", "no valid public host name"),
        ("https://-passes.example.com", "no valid public host name"),
        ("https://passes..example.com", "no valid public host name"),
        ("https://passes_1.example.com", "no valid public host name"),
        ("https://pässe.example.com", "xn-- form"),
        ("https://passes.example.com /x", "xn-- form"),
        ("https://passes.example.com:port", "not a valid URL"),
        ("https://passes.example.com:0", "invalid port"),
        ("https://[passes", "not a valid URL"),
    ],
)
@pytest.mark.parametrize("way", ["option", "parameter"])
def test_url_that_phones_cannot_call_is_refused_before_packaging(way: str, url: str, problem: str) -> None:
    texts, option = ([], url) if way == "option" else ([f"WebServiceUrl={url}"], None)
    with pytest.raises(DeployError, match="web service URL") as refused:
        read_parameters(texts, web_service_url=option)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "https://passes.example.com",
        "passes",
        "passes.example.com/api",
        "192.0.2.1",
        "localhost",
        "Passes.example",
        "a b.c",
    ],
)
def test_invalid_domain_name_is_refused(name: str) -> None:
    with pytest.raises(DeployError, match="give the host name alone"):
        read_parameters([f"DomainName={name}"])


def test_without_url_and_domain_the_api_has_its_own_url() -> None:
    assert read_parameters(["DomainName="], web_service_url="") == {"WebServiceUrl": "", "DomainName": ""}
    assert address_of({}) == ""
    assert address_of({"DomainName": "passes.example.com"}) == "https://passes.example.com"
    assert (
        address_of({"DomainName": "a.example.com", "WebServiceUrl": "https://b.example.com"}) == "https://b.example.com"
    )
