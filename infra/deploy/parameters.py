"""Reads stack parameters from the command line."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from infra.deploy.errors import DeployError
from infra.deploy.resources import resources
from infra.deploy.web_service_url import check_domain_name, check_web_service_url

SET_BY_DEPLOYER = frozenset({"Stage", "Commit", "ApiId"})
"""Parameters that the deployer sets itself."""
FRACTIONAL = "ThrottleRate"
"""End of the names of those that may have a fraction: API Gateway's throttlingRateLimit is a double."""


def read_parameters(
    texts: Iterable[str], *, web_service_url: str | None = None, apns_push_type: str | None = None
) -> dict[str, str]:
    """Return the values of stack parameters by name.

    Args:
        texts: `NAME=VALUE` each.
        web_service_url: the value of `WebServiceUrl`, or None.
        apns_push_type: the value of `ApnsPushType`, or None.

    Raises:
        DeployError: a text is not `NAME=VALUE`, there is no such parameter, the value is not one of those that the
            template allows, or phones cannot call the URL.
    """
    parameters = resources()["Parameters"]
    known = sorted(parameters.keys() - SET_BY_DEPLOYER)
    short = {"WebServiceUrl": web_service_url, "ApnsPushType": apns_push_type}
    found = {name: value for name, value in short.items() if value is not None}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise DeployError(f"--set {text}: give NAME=VALUE with one of the names {', '.join(known)}")
        _check_value(name, value, parameters[name])
        found[name] = value
    check_web_service_url(found.get("WebServiceUrl", ""))
    check_domain_name(found.get("DomainName", ""))
    return found


def _check_value(name: str, value: str, declared: Mapping[str, Any]) -> None:
    """Refuse a value that CloudFormation would refuse, too, in the middle of a deployment.

    Args:
        name: of the parameter.
        value: as it was given.
        declared: the parameter in the template.

    Raises:
        DeployError: the value is not a number in the allowed range, or not one of the allowed values.
    """
    if (choices := declared.get("AllowedValues")) and value not in choices:
        allowed = ", ".join(choice or "(empty)" for choice in choices)
        raise DeployError(f"--set {name}={value}: must be one of {allowed}")
    if declared["Type"] != "Number":
        return
    number = math.nan
    with suppress(ValueError):
        number = float(value) if name.endswith(FRACTIONAL) else int(value)
    least, most = declared["MinValue"], declared.get("MaxValue", math.inf)
    if not (math.isfinite(number) and least <= number <= most):
        kind = "a number" if name.endswith(FRACTIONAL) else "a whole number"
        span = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
        raise DeployError(f"--set {name}={value}: must be {kind} {span}")
