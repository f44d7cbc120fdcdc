"""Checks the host that a stage sends pushes to.

APNs takes pushes for passes in its production environment only (Apple, "Sending notification requests to APNs": ports
443 and 2197). The development environment answers every push token with BadDeviceToken, so that devices would be
removed; responses of other hosts are not Apple's. Only a local stage, on an embedded AWS, uses the APNs stand-in.
"""

from urllib.parse import urlsplit

from infra.deploy.resources import default_of

PARAMETER = "ApnsUrl"
HOST, PORTS = "api.push.apple.com", (443, 2197)
PRODUCTION = default_of("apns_url")
APPLES = ".push.apple.com"


def push_host_problem(url: str, *, local: bool) -> str:
    """Return what is wrong with an APNs URL, or an empty text.

    Args:
        url: `https://host:port`.
        local: whether the stage is on an embedded AWS, which uses the APNs stand-in.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or PORTS[0]
    except ValueError:
        return f"{url!r} is not a URL of the form https://host:port"
    if parts.scheme != "https" or not host or parts.username is not None or parts.path not in ("", "/") or parts.query:
        return f"{url!r} is not a URL of the form https://host:port"
    if host == HOST:
        return "" if port in PORTS else f"{url!r}: APNs accepts pushes on port 443 or 2197"
    if host.endswith(APPLES):
        return f"{url!r} is Apple's development environment, which rejects the push tokens of passes"
    return "" if local else f"{url!r} is not Apple's production host, https://{HOST}"
