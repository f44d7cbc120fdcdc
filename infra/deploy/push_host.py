"""Which host a stage may push to.

Passes are pushed to through Apple's production environment alone (Apple, "Sending notification requests to APNs": ports
443 and 2197). Any other host answers every push token with BadDeviceToken, or with nothing that Apple said: devices
would be lost. A stand-in for APNs belongs to a stage that is local, which is one on an embedded AWS.
"""

from urllib.parse import urlsplit

from infra.deploy.resources import default_of

PARAMETER = "ApnsUrl"
HOST, PORTS = "api.push.apple.com", (443, 2197)
PRODUCTION = default_of("apns_url")
APPLES = ".push.apple.com"


def push_host_problem(url: str, *, local: bool) -> str:
    """Say what is wrong with an APNs URL; empty where nothing is.

    Args:
        url: `https://host:port`.
        local: whether the stage is on an embedded AWS, where a stand-in takes APNs' place.
    """
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or PORTS[0]
    except ValueError:
        return f"{url!r} is not a URL of the form https://host:port"
    if parts.scheme != "https" or not host or parts.username is not None or parts.path not in ("", "/") or parts.query:
        return f"{url!r} is not a URL of the form https://host:port"
    if host == HOST:
        return "" if port in PORTS else f"{url!r}: Apple takes pushes on port 443 or 2197"
    if host.endswith(APPLES):
        return f"{url!r} is Apple's development environment, which knows no pass: it calls every push token bad"
    return "" if local else f"{url!r} is not Apple's production host, https://{HOST}"
