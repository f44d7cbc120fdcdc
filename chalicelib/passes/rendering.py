"""Template + item -> pass.json: the same input always makes the same bytes.

What an item says stands over what the template says. Where the two do not fit, the item is refused with a message for
the people behind its pipeline; nothing half-built comes out.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from chalicelib.core.errors import shown
from chalicelib.core.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken
from chalicelib.core.numbers import NumberError, parse_number
from chalicelib.passes.dates import holds_date, is_w3c_date, is_w3c_date_with_fraction, not_a_date
from chalicelib.passes.format.check import check_item, find_unwritable, is_currency_text, is_in_languages
from chalicelib.passes.format.findings import Finding, Level
from chalicelib.passes.format.images import STRINGS
from chalicelib.passes.format.keys import FIELD_KEYS, LOCALIZABLE_FIELD_KEYS, RESERVED, STYLES
from chalicelib.passes.item import ItemError, Json, PassItem
from chalicelib.passes.strings import StringsError, pick_language, same_language, write_strings
from chalicelib.passes.template import Template

MAX_PROBLEMS = 5
"""How many of an item's problems one message names."""
_DATE_STYLES = ("dateStyle", "timeStyle")
_NUMBER_STYLES = ("numberStyle", "currencyCode")


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
        found = find_unwritable({"fields": item.fields, "overrides": item.overrides}, "")
        where, what = (found[0].path, found[0].problem) if found else ("fields", str(error))
        raise ItemError(item.pass_id, where, f"holds a number or text that JSON cannot: {what}") from None


def validate(template: Template, item: PassItem) -> list[Finding]:
    """Find out whether an item fits its template and Apple's format, before any device is told of it.

    Returns:
        The warnings: what phones will leave out or show otherwise than written.

    Raises:
        ItemError: it does not; every error is named, up to `MAX_PROBLEMS`.
    """
    warnings = check_format(template, item)
    prove_rendering(template, item)
    return warnings


def prove_rendering(template: Template, item: PassItem) -> None:
    """Find out whether a pass can be made of an item, be it against Apple's format: what a download asks.

    Raises:
        ItemError: it cannot.
    """
    nobodys = AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH)
    render(template, item, web_service_url="", authentication_token=nobodys, team_identifier="")
    if item.fields:
        localized_strings(template, item)


def check_format(template: Template, item: PassItem) -> list[Finding]:
    """Check what an item adds to its template by Apple's format; `render` alone lets pass what it always did.

    Returns:
        The warnings.

    Raises:
        ItemError: phones would refuse the pass, or show it without what it is for.
    """
    findings = check_item(item.overrides, item.fields, template.content)
    if not findings:
        return findings
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if errors:
        first, *others = errors[:MAX_PROBLEMS]
        told = [first.problem, *(f"{other.path}: {other.problem}" for other in others)]
        more = f"; and {len(errors) - MAX_PROBLEMS} more" if len(errors) > MAX_PROBLEMS else ""
        raise ItemError(item.pass_id, first.path, "; ".join(told) + more)
    return findings


def localized_strings(template: Template, item: PassItem) -> dict[str, bytes]:
    """The strings files of a pass whose item has texts in several languages, by path; empty where it has none.

    Each language of the template and of the item has one, with the template's texts and the item's. A language that a
    text lacks shows what a phone in that language would fall back to, and a language that the template lacks begins
    with the template's texts of such a fallback: phones never show a key.

    Raises:
        ItemError: the template's own texts cannot be read.
    """
    texts: dict[str, Mapping[str, str]] = {}
    for key, given in item.fields.items():
        for name in LOCALIZABLE_FIELD_KEYS:
            value = given.get(name)
            if isinstance(value, dict) and is_in_languages(value):
                texts[text_key(key, name, value)] = {language: str(text) for language, text in value.items()}
    if not texts:
        return {}
    try:
        own = template.strings
    except StringsError as error:
        raise ItemError(item.pass_id, "fields", f"template '{template.name}': {error}; push it again") from None
    languages = list(own)
    for language in (language for by_language in texts.values() for language in by_language):
        if not any(same_language(language, known) for known in languages):
            languages.append(language)
    return {f"{language}.lproj/{STRINGS}": write_strings(_texts_of(language, own, texts)) for language in languages}


def _texts_of(
    language: str, own: Mapping[str, Mapping[str, str]], texts: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """All texts of one language by key: the template's, and the item's."""
    base = pick_language(own, language)
    strings = dict(own[base]) if base is not None else {}
    for key, by_language in texts.items():
        picked = pick_language(by_language, language)
        strings[key] = by_language[picked] if picked is not None else ""
    return strings


def text_key(field: str, name: str, texts: Mapping[str, Json]) -> str:
    """What is in pass.json for a text in several languages, and in each strings file before the text.

    It changes with any of the texts, so that a phone of every language sees that the value is another.
    """
    written = repr(sorted(texts.items())).encode(errors="backslashreplace")
    return f"{field}.{name}.{hashlib.sha256(written).hexdigest()[:16]}"


def _overrides(item: PassItem) -> Mapping[str, Json]:
    for key, value in item.overrides.items():
        if key in RESERVED:
            raise ItemError(item.pass_id, f"overrides.{key}", "is set by the service; leave it out")
        if key in STYLES:
            raise ItemError(item.pass_id, f"overrides.{key}", "is the pass's style; write its values under 'fields'")
        if key != "userInfo" and type(value) is not bool:
            _check_dates(item, f"overrides.{key}", key, value, fractions=key == "semantics")
    return item.overrides


def _check_dates(item: PassItem, attribute: str, key: str, value: Json, *, fractions: bool) -> None:
    """A fraction of a second is refused but in semantic tags, where Apple's own samples have it."""
    if isinstance(value, str):
        is_date = is_w3c_date_with_fraction if fractions else is_w3c_date
        if holds_date(key) and not is_date(value):
            raise ItemError(item.pass_id, attribute, not_a_date(value))
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_dates(item, f"{attribute}.{name}", name, member, fractions=fractions or name == "semantics")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_dates(item, f"{attribute}[{index}]", key, member, fractions=fractions)


def _with_fields(template: Template, item: PassItem, content: Mapping[str, Any]) -> dict[str, Any]:
    """The styles that the item's fields change, copied where they change and nowhere else."""
    styles: dict[str, Any] = {}
    for key, given in item.fields.items():
        places = template.places.get(key)
        if places is None:
            known = ", ".join(sorted(template.places)) or "none"
            raise ItemError(
                item.pass_id,
                f"fields.{shown(key)}",
                f"template '{template.name}' has no such field; it has {known}",
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
        if isinstance(value, dict) and name in LOCALIZABLE_FIELD_KEYS and is_in_languages(value):
            given = {**given, name: text_key(key, name, value)}
        elif name in FIELD_KEYS or name in template:
            _check_type(item, f"{attribute}.{name}", name, value)
        else:
            known = ", ".join(FIELD_KEYS)
            raise ItemError(item.pass_id, f"{attribute}.{shown(name)}", f"is no key of a field; those are {known}")
    if key in item.numeric_texts and _holds_number(template):
        given = {**given, "value": _number(item, attribute, str(given["value"]))}
    merged = {name: value for name, value in {**template, **given}.items() if value is not None}
    if merged.get("key") != key:
        raise ItemError(item.pass_id, f"{attribute}.key", "cannot be changed; phones match old and new by it")
    value = merged.get("value")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ItemError(item.pass_id, attribute, "needs a value that is a string or a number")
    if any(style in merged for style in _DATE_STYLES) and not is_w3c_date(value):
        raise ItemError(item.pass_id, attribute, not_a_date(value))
    if any(style in merged for style in _NUMBER_STYLES) and isinstance(value, str) and not is_currency_text(merged):
        raise ItemError(item.pass_id, attribute, f"'{shown(value)}' must be a number; the field is formatted as one")
    return merged


def _check_type(item: PassItem, attribute: str, name: str, value: Json) -> None:
    """NULL takes a key away."""
    known = FIELD_KEYS.get(name)
    if known is not None and value is not None and not known.kind.has_type(value):
        raise ItemError(item.pass_id, attribute, f"must be {known.kind.words}, not {type(value).__name__}")
    if name not in ("value", "label"):
        _check_dates(item, attribute, name, value, fractions=name == "semantics")


def _holds_number(template: Mapping[str, Any]) -> bool:
    """Whether the template's field is a number."""
    value = template.get("value")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number or any(style in template for style in _NUMBER_STYLES)


def _number(item: PassItem, attribute: str, text: str) -> int | float:
    try:
        value = parse_number(text)
    except NumberError as error:
        raise ItemError(item.pass_id, attribute, str(error)) from None
    return int(value) if value == value.to_integral_value() else float(value)


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
