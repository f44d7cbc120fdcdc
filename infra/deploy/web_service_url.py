"""Checks the URL that phones call.

A phone uses the URL in its pass for as long as it has the pass: with a wrong or a changed URL it gets no updates.

Apple, "Adding a Web Service to Update Passes": `webServiceURL` is https, and the phone appends `/v1/...` to it.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from infra.deploy.errors import DeployError

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""One part of a host name (RFC 1123, section 2.1), lower case as certificates have it."""
MAX_HOST_LENGTH = 253
UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")


def check_web_service_url(url: str) -> None:
    """Refuse a URL that phones cannot call; an empty one means the API's own.

    Raises:
        DeployError: it is not https, has a path that ends in /v1 or a slash, or leads to the phone itself.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DeployError(f"web service URL {url!r}: not a valid URL ({error})") from error
    wrong = (
        (not url.isascii() or UNPRINTABLE.search(url), "has a space or a character outside ASCII; use the xn-- form"),
        (parts.scheme != "https", "phones call https only"),
        (parts.username is not None or parts.password is not None, "must not contain a user name"),
        ("?" in url or "#" in url, "must not have a query or a fragment: phones append /v1/... to it"),
        (url.endswith("/"), "must not end with a slash: phones append /v1/... to it"),
        (parts.path.endswith("/v1"), "must not end in /v1: phones append /v1 themselves, and would call /v1/v1"),
        (port == 0, "has an invalid port"),
    )
    problem = next((text for found, text in wrong if found), "") or _problem_of_host(parts.hostname or "")
    if problem:
        raise DeployError(f"web service URL {url!r}: {problem}")


def check_domain_name(name: str) -> None:
    """Refuse a name that cannot be a custom domain of API Gateway; an empty one means no domain.

    Raises:
        DeployError: it is not a host name with at least two parts.
    """
    if name and (problem := _problem_of_host(name) or ("is an IP address" if _address(name) else "")):
        raise DeployError(f"DomainName {name!r}: {problem}; give the host name alone, such as passes.example.com")


def address_of(parameters: Mapping[str, str]) -> str:
    """Return the URL in the passes of a stage with these parameters; empty for the API's own."""
    domain = parameters.get("DomainName", "")
    return parameters.get("WebServiceUrl", "") or (f"https://{domain}" if domain else "")


def _problem_of_host(host: str) -> str:
    if (address := _address(host)) is not None:
        return "leads to the phone itself or into a private network" if not address.is_global else ""
    if host.rstrip(".") == "localhost" or host.endswith((".localhost", ".local")):
        return "leads to the phone itself or into a private network"
    labels = host.split(".")
    if len(labels) < 2 or len(host) > MAX_HOST_LENGTH or not all(map(LABEL.fullmatch, labels)):  # noqa: PLR2004
        return "has no valid public host name"
    return ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
