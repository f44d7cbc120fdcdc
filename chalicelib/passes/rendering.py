"""Template + item -> pass.json: the same input always makes the same bytes.

What an item says stands over what the template says. Where the two do not fit, the item is refused with a message for
the people behind its pipeline; nothing half-built comes out.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from chalicelib.core.errors import shown
from chalicelib.core.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken
from chalicelib.passes.dates import holds_date, is_w3c_date, not_a_date
from chalicelib.passes.item import ItemError, Json, PassItem
from chalicelib.passes.template import STYLES, Template

RESERVED = (
    "formatVersion",
    "passTypeIdentifier",
    "serialNumber",
    "teamIdentifier",
    "authenticationToken",
    "webServiceURL",
)
"""Top-level keys that say whose pass this is and where it is updated: never an item's to override."""
_DATE_STYLES = ("dateStyle", "timeStyle")
_NUMBER_STYLES = ("numberStyle", "currencyCode")
_FIELD_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "key": str,
    "value": (str, int, float),
    "label": str,
    "attributedValue": (str, int, float),
    "changeMessage": str,
    "dataDetectorTypes": list,
    "dateStyle": str,
    "timeStyle": str,
    "numberStyle": str,
    "currencyCode": str,
    "isRelative": bool,
    "ignoresTimeZone": bool,
    "textAlignment": str,
    "row": int,
    "semantics": dict,
}
"""What an item may say of a field (Apple, "PassFieldContent"), with the types that phones take."""


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
    for key in [key for key, value in item.overrides.items() if value is None]:
        del content[key]
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
    if "barcode" in content:
        (content["barcode"],) = _barcodes(item, [content["barcode"]])
    try:
        # Sorted, because a DynamoDB map comes in any order and the same pass must be the same bytes.
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ItemError(item.pass_id, "fields", f"holds a number or text that JSON cannot: {error}") from None


def validate(template: Template, item: PassItem) -> None:
    """Find out whether an item fits its template, before any device is told of it.

    Raises:
        ItemError: it does not.
    """
    nobodys = AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH)
    render(template, item, web_service_url="", authentication_token=nobodys, team_identifier="")


def _overrides(item: PassItem) -> Mapping[str, Json]:
    for key, value in item.overrides.items():
        if key in RESERVED:
            raise ItemError(item.pass_id, f"overrides.{key}", "is set by the service; leave it out")
        if key in STYLES:
            raise ItemError(item.pass_id, f"overrides.{key}", "is the pass's style; write its values under 'fields'")
        if key != "userInfo":
            _check_dates(item, f"overrides.{key}", key, value)
    return item.overrides


def _check_dates(item: PassItem, attribute: str, key: str, value: Json) -> None:
    if isinstance(value, str) and holds_date(key) and not is_w3c_date(value):
        raise ItemError(item.pass_id, attribute, not_a_date(value))
    if isinstance(value, dict):
        for name, member in value.items():
            _check_dates(item, f"{attribute}.{name}", name, member)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_dates(item, f"{attribute}[{index}]", key, member)


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
            style[place.group][place.index] = _field(item, key, style[place.group][place.index], given)
    return styles


def _field(item: PassItem, key: str, template: Mapping[str, Any], given: Mapping[str, Json]) -> dict[str, Any]:
    """One field with the item's values over the template's, checked for what its style makes phones expect."""
    attribute = f"fields.{key}"
    for name, value in given.items():
        if name in _FIELD_KEYS:
            _check_type(item, f"{attribute}.{name}", value, _FIELD_KEYS[name])
        elif name not in template:
            known = ", ".join(_FIELD_KEYS)
            raise ItemError(item.pass_id, f"{attribute}.{name}", f"is no key of a field; those are {known}")
        _check_dates(item, f"{attribute}.{name}", name, value)
    merged = {name: value for name, value in {**template, **given}.items() if value is not None}
    if merged.get("key") != key:
        raise ItemError(item.pass_id, f"{attribute}.key", "cannot be changed; phones match old and new by it")
    value = merged.get("value")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ItemError(item.pass_id, attribute, "needs a value that is a string or a number")
    if any(style in merged for style in _DATE_STYLES) and not is_w3c_date(value):
        raise ItemError(item.pass_id, attribute, not_a_date(value))
    if any(style in merged for style in _NUMBER_STYLES) and isinstance(value, str):
        raise ItemError(item.pass_id, attribute, f"'{shown(value)}' must be a number; the field is formatted as one")
    return merged


def _check_type(item: PassItem, attribute: str, value: Json, expected: type | tuple[type, ...]) -> None:
    """NULL takes a key away. A bool is an int to Python, and to nobody else."""
    if value is None or (isinstance(value, expected) and (expected is bool or not isinstance(value, bool))):
        return
    names = " or ".join(kind.__name__ for kind in (expected if isinstance(expected, tuple) else (expected,)))
    raise ItemError(item.pass_id, attribute, f"must be {names}, not {type(value).__name__}")


def _barcodes(item: PassItem, barcodes: object) -> list[dict[str, Json]]:
    """Each barcode without a message of its own shows the serial number."""
    if not isinstance(barcodes, list) or not all(isinstance(barcode, dict) for barcode in barcodes):
        raise ItemError(item.pass_id, "overrides.barcodes", "must be a list of maps")
    serial_number = item.pass_id.serial_number
    complete = [{"messageEncoding": "utf-8", "message": serial_number, **barcode} for barcode in barcodes]
    for barcode in complete:
        for key in ("format", "message", "messageEncoding"):
            if not isinstance(barcode.get(key), str):
                raise ItemError(item.pass_id, f"overrides.barcodes[].{key}", "must be a string")
    return complete
