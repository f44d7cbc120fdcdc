"""Reads from a browser's headers the device that it runs on and the languages that its user reads."""

import re
from collections.abc import Sequence

from chalicelib.preview.link_pages import DeviceKind

MAX_HEADER_CHARACTERS = 1_000
"""Part of `Accept-Language` that is read: browsers send fewer than 200 characters."""
_RANGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?")
"""One language range with its weight (RFC 9110, section 12.5.4)."""
_IN_APP = re.compile(r"FBA[NV]|Instagram|Line/|MicroMessenger|Snapchat|LinkedInApp|BytedanceWebview|Twitter for")
"""Web views that name themselves, such as that of Facebook; some of them also name Safari."""


def device_of(user_agent: str) -> DeviceKind:
    """Return the device that a `User-Agent` describes.

    An iPad identifies itself as a Mac unless it shows mobile pages. A web view in an app on an iPhone does not name
    Safari; it cannot add passes.
    """
    if "iPhone" in user_agent or "iPod" in user_agent:
        in_app = "Safari/" not in user_agent or _IN_APP.search(user_agent)
        return DeviceKind.IPHONE_APP if in_app else DeviceKind.IPHONE
    if "iPad" in user_agent:
        return DeviceKind.IPAD
    if "Android" in user_agent:
        return DeviceKind.ANDROID
    return DeviceKind.MAC if "Macintosh" in user_agent else DeviceKind.OTHER


def preferred_languages(accept_language: str) -> Sequence[str]:
    """Return the languages of an `Accept-Language` header, the most wanted first; refused ones are left out."""
    read = accept_language[:MAX_HEADER_CHARACTERS]
    if read != accept_language:
        read = read.rpartition(",")[0]
    weighted = []
    for part in read.split(","):
        found = _RANGE.fullmatch(part)
        if found is not None:
            weighted.append((float(found[2] or 1), found[1]))
    wanted = sorted((pair for pair in weighted if pair[0] > 0), key=lambda pair: -pair[0])
    return [language for _, language in wanted]
