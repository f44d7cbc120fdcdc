"""Reads stack parameters from the command line."""

from collections.abc import Iterable

from infra.deploy.errors import DeployError
from infra.deploy.resources import resources
from infra.deploy.web_service_url import check_domain_name, check_web_service_url

SET_BY_DEPLOYER = frozenset({"Stage", "Commit", "ApiId"})
"""Parameters that the deployer sets itself."""


def read_parameters(
    texts: Iterable[str], *, web_service_url: str | None = None, apns_push_type: str | None = None
) -> dict[str, str]:
    """Return the values of stack parameters by name.

    Args:
        texts: `NAME=VALUE` each.
        web_service_url: the value of `WebServiceUrl`, or None.
        apns_push_type: the value of `ApnsPushType`, or None.

    Raises:
        DeployError: a text is not `NAME=VALUE`, there is no such parameter, or phones cannot call the URL.
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
