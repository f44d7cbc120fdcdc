"""Template + item -> pass.json: the same input always makes the same bytes.

What an item says stands over what the template says. Where the two do not fit, the item is refused with a message for
the people behind its pipeline; nothing half-built comes out.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from chalicelib.domain.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken
from chalicelib.domain.items import ItemError, Json, PassItem
from chalicelib.domain.template import STYLES, Template

RESERVED = (
    "formatVersion",
    "passTypeIdentifier",
    "serialNumber",
    "teamIdentifier",
    "authenticationToken",
    "webServiceURL",
)
"""Top-level keys that say whose pass this is and where it is updated: never an item's to override."""
_W3C_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)")
"""W3C, "Date and Time Formats", without fractions of a second: phones reject a pass with them."""
_DATE_STYLES = ("dateStyle", "timeStyle")
_NUMBER_STYLES = ("numberStyle", "currencyCode")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def render(
    template: Template,
    item: PassItem,
    *,
    web_service_url: str,
    authentication_token: AuthenticationToken,
    team_identifier: str,
) -> bytes:
    """The pass.json of an item, UTF-8.

    Args:
        template: the one that the item names.
        item: what the pipeline wrote.
        web_service_url: what devices append `/v1/...` to.
        authentication_token: what devices present; for an installed pass the very one that it has.
        team_identifier: of the certificate that signs the pass.

    Raises:
        ItemError: the item does not fit the template.
    """
    content: dict[str, Any] = {**template.content, **_overrides(item)}
    content.update(_with_fields(template, item, content))
    content["formatVersion"] = 1
    content["passTypeIdentifier"] = item.pass_id.pass_type_identifier
    content["serialNumber"] = item.pass_id.serial_number
    content["teamIdentifier"] = team_identifier
    content["webServiceURL"] = web_service_url
    content["authenticationToken"] = authentication_token.value
    if item.voided:
        content["voided"] = True
    if "barcodes" in content:
        content["barcodes"] = _barcodes(item, content["barcodes"])
    try:
        return _ENCODER.encode(content).encode()
    except ValueError as error:
        raise ItemError(item.pass_id, "fields", f"holds a number or text that JSON cannot: {error}") from None


def prove(template: Template, item: PassItem) -> None:
    """Find out whether an item fits its template, before any device is told of it.

    Raises:
        ItemError: it does not.
    """
    nobodys = AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH)
    render(template, item, web_service_url="", authentication_token=nobodys, team_identifier="")


def _overrides(item: PassItem) -> Mapping[str, Json]:
    for key in item.overrides:
        if key in RESERVED:
            raise ItemError(item.pass_id, f"overrides.{key}", "is set by the service; leave it out")
        if key in STYLES:
            raise ItemError(item.pass_id, f"overrides.{key}", "is the pass's style; write its values under 'fields'")
    return item.overrides


def _with_fields(template: Template, item: PassItem, content: Mapping[str, Any]) -> dict[str, Any]:
    """The styles that the item's fields change, copied where they change and nowhere else."""
    styles: dict[str, Any] = {}
    for key, given in item.fields.items():
        places = template.places.get(key)
        if places is None:
            known = ", ".join(sorted(template.places)) or "none"
            raise ItemError(
                item.pass_id, f"fields.{key}", f"template '{template.name}' has no such field; it has {known}"
            )
        for place in places:
            style = styles.setdefault(place.style, dict(content[place.style]))
            if style[place.group] is content[place.style][place.group]:
                style[place.group] = list(style[place.group])
            style[place.group][place.index] = _field(item, key, {**style[place.group][place.index], **given})
    return styles


def _field(item: PassItem, key: str, merged: dict[str, Any]) -> dict[str, Any]:
    """One field with the item's values over the template's, checked for what its style makes phones expect."""
    attribute = f"fields.{key}"
    if merged["key"] != key:
        raise ItemError(item.pass_id, f"{attribute}.key", "cannot be changed; phones match old and new by it")
    value = merged.get("value")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ItemError(item.pass_id, attribute, "needs a value that is a string or a number")
    if any(style in merged for style in _DATE_STYLES) and not _is_w3c_date(value):
        raise ItemError(
            item.pass_id, attribute, f"{value!r} must be a date such as 2026-12-24T18:30:00+01:00, without fractions"
        )
    if any(style in merged for style in _NUMBER_STYLES) and isinstance(value, str):
        raise ItemError(item.pass_id, attribute, f"{value!r} must be a number; the field is formatted as one")
    return merged


def _is_w3c_date(value: object) -> bool:
    return isinstance(value, str) and _W3C_DATE.fullmatch(value) is not None


def _barcodes(item: PassItem, barcodes: object) -> list[Json]:
    """Each barcode without a message of its own shows the serial number."""
    if not isinstance(barcodes, list) or not all(isinstance(barcode, dict) for barcode in barcodes):
        raise ItemError(item.pass_id, "overrides.barcodes", "must be a list of maps")
    serial_number = item.pass_id.serial_number
    return [{"messageEncoding": "utf-8", "message": serial_number, **barcode} for barcode in barcodes]
