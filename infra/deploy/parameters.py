"""What a deployment decides beside the code: the parameters of `resources.json`, as a command line gives them."""

from collections.abc import Iterable

from infra.deploy.errors import DeployError
from infra.deploy.resources import resources
from infra.deploy.web_service_url import check_domain_name, check_web_service_url

SET_BY_DEPLOYER = frozenset({"Stage", "Commit", "ApiId"})
"""Parameters that the deployer sets itself."""


def read_parameters(
    texts: Iterable[str], *, web_service_url: str | None = None, apns_push_type: str | None = None
) -> dict[str, str]:
    """Parameters by name.

    Args:
        texts: each `NAME=VALUE`.
        web_service_url: another way to say `WebServiceUrl=...`; None where it is not said.
        apns_push_type: likewise `ApnsPushType=...`.

    Raises:
        DeployError: one is not of that form, no parameter is called that, or phones cannot call the address that it
            gives.
    """
    known = sorted(resources()["Parameters"].keys() - SET_BY_DEPLOYER)
    short = {"WebServiceUrl": web_service_url, "ApnsPushType": apns_push_type}
    found = {name: value for name, value in short.items() if value is not None}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise DeployError(f"--set {text}: give NAME=VALUE with one of the names {', '.join(known)}")
        found[name] = value
    check_web_service_url(found.get("WebServiceUrl", ""))
    check_domain_name(found.get("DomainName", ""))
    return found
