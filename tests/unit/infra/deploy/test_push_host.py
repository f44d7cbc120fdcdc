"""A stage pushes to Apple's production host; only a stage on an embedded AWS uses the APNs stand-in."""

from collections.abc import Iterator

import pytest

from infra.deploy.changes import Unattended
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.package import Package
from infra.deploy.push_host import push_host_problem
from infra.stage.aws import is_embedded
from tests.support.aws_stand_in import answering, aws_environment

DEVELOPMENT = "https://api.sandbox.push.apple.com:443"  # prose: the name of Apple's host
DESCRIBED = f"""
<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member>
<StackName>passwire-dev</StackName><StackStatus>UPDATE_COMPLETE</StackStatus>
<CreationTime>2026-11-25T00:00:00Z</CreationTime>
<Parameters><member><ParameterKey>ApnsUrl</ParameterKey><ParameterValue>{DEVELOPMENT}</ParameterValue></member></Parameters>
</member></Stacks></DescribeStacksResult></DescribeStacksResponse>
"""


@pytest.fixture(autouse=True)
def _aws() -> Iterator[None]:
    """AWS itself, as far as the environment says."""
    with aws_environment():
        yield


def nothing() -> Package:
    raise AssertionError("it was packaged")


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    "url",
    [
        "https://api.push.apple.com:443",
        "https://api.push.apple.com",
        "https://api.push.apple.com:2197",
        "HTTPS://API.Push.Apple.com/",
    ],
)
def test_apples_production_host_is_accepted_on_both_ports(url: str, *, local: bool) -> None:
    assert push_host_problem(url, local=local) == ""


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (DEVELOPMENT, "development environment"),
        ("https://api.development.push.apple.com:443", "development environment"),
        ("https://api.push.apple.com:8443", "port 443 or 2197"),
        ("http://api.push.apple.com:443", "https://host:port"),
        ("https://api.push.apple.com:443/3/device", "https://host:port"),
        ("https://api.push.apple.com@evil.example:443", "https://host:port"),
        ("https://api.push.apple.com:port", "https://host:port"),
        ("api.push.apple.com:443", "https://host:port"),
        ("", "https://host:port"),
    ],
)
def test_invalid_host_is_refused_on_every_stage(url: str, problem: str, *, local: bool) -> None:
    assert problem in push_host_problem(url, local=local)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:2197", "https://apns.example:443", "https://api.push.apple.com.evil.example"]
)
def test_apns_stand_in_is_accepted_on_local_stages_only(url: str) -> None:
    assert push_host_problem(url, local=True) == ""
    assert "is not Apple's production host" in push_host_problem(url, local=False)


@pytest.mark.parametrize(
    ("endpoint", "embedded"),
    [
        ("http://127.0.0.1:4566", True),
        ("http://ministack:4566", True),
        ("https://vpce-1-2.cloudformation.eu-central-1.vpce.amazonaws.com", False),
        ("https://cloudformation.eu-central-1.api.aws", False),
        ("", False),
    ],
)
def test_stage_is_local_when_the_endpoint_is_not_amazons(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, *, embedded: bool
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert is_embedded() is embedded


@pytest.mark.parametrize("url", [DEVELOPMENT, "https://127.0.0.1:2197"])
def test_deploy_refuses_another_push_host_before_packaging(url: str) -> None:
    with pytest.raises(DeployError, match=r"--set ApnsUrl=https://api\.push\.apple\.com:443"):
        Deployer("dev", on_progress=print).deploy(nothing, parameters={"ApnsUrl": url}, dialogue=Unattended())
    with pytest.raises(DeployError, match="ApnsUrl"):
        Deployer("dev", on_progress=print).diff(nothing, parameters={"ApnsUrl": url})


def test_deploy_refuses_a_push_host_of_an_earlier_deployment() -> None:
    refused = pytest.raises(DeployError, match=r"stage dev: ApnsUrl: .*development environment")
    with answering(DESCRIBED, endpoint_variable="AWS_ENDPOINT_URL_CLOUDFORMATION"), refused:
        Deployer("dev", on_progress=print).deploy(nothing, parameters={}, dialogue=Unattended())
