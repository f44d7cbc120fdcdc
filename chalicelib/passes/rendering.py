"""Rendering: a template and an item become a pass.json. Equal inputs give equal bytes.

Values of the item replace those of the template. If the item is invalid for the template, it is refused with a message
for the people behind the pipeline, and no pass is built.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from chalicelib.core.errors import excerpt
from chalicelib.core.identifiers import MIN_AUTHENTICATION_TOKEN_LENGTH, AuthenticationToken
from chalicelib.core.numbers import NumberError, parse_number
from chalicelib.passes.dates import date_problem, is_date_key, is_w3c_date, is_w3c_date_with_fraction
from chalicelib.passes.format.check import check_item, find_unwritable, is_currency_text, is_in_languages
from chalicelib.passes.format.findings import Finding, Level
from chalicelib.passes.format.images import STRINGS
from chalicelib.passes.format.keys import FIELD_KEYS, LOCALIZABLE_FIELD_KEYS, RESERVED, STYLES
from chalicelib.passes.item import Json, PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.strings import StringsError, pick_language, same_language, write_strings
from chalicelib.passes.template import Template

MAX_PROBLEMS = 5
"""Problems of an item that one message lists."""
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
    """Return the pass.json of an item, UTF-8.

    Args:
        template: the item's template.
        item: the item.
        web_service_url: URL to which devices append `/v1/...`.
        authentication_token: token that devices send; for an installed pass the one that it has.
        team_identifier: team of the certificate that signs the pass.

    Raises:
        ItemError: the item is invalid for the template.
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
        # Sorted, because DynamoDB returns maps in any order, and equal passes must have equal bytes.
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise _unwritable(item, str(error)) from None


def _unwritable(item: PassItem, problem: str) -> ItemError:
    """Return the error of an item with a number or text that a pass cannot contain."""
    found = find_unwritable({"fields": item.fields, "overrides": item.overrides}, "")
    where, what = (found[0].path, found[0].problem) if found else ("fields", problem)
    return ItemError(item.pass_id, where, f"contains a number or text that JSON cannot: {what}")


def validate(template: Template, item: PassItem) -> list[Finding]:
    """Validate an item against its template and Apple's format, before any device is notified.

    Returns:
        The warnings: values that phones leave out or show in another way than written.

    Raises:
        ItemError: the item is invalid; the message lists up to `MAX_PROBLEMS` problems.
    """
    warnings = check_format(template, item)
    validate_rendering(template, item)
    return warnings


def validate_rendering(template: Template, item: PassItem) -> None:
    """Validate that a pass can be built of an item for a download, even if it violates Apple's format.

    Raises:
        ItemError: it cannot.
    """
    placeholder = AuthenticationToken("0" * MIN_AUTHENTICATION_TOKEN_LENGTH)
    render(template, item, web_service_url="", authentication_token=placeholder, team_identifier="")
    if item.fields:
        localized_strings(template, item)


def check_format(template: Template, item: PassItem) -> list[Finding]:
    """Check the values that an item adds to its template by Apple's format, of which `render` checks only a part.

    Returns:
        The warnings.

    Raises:
        ItemError: phones would refuse the pass, or show it without an essential part.
    """
    findings = check_item(item.overrides, item.fields, template.content)
    if max(map(len, item.fields.values()), default=0) > 1:
        findings += _check_change_messages(template, item)
    if not findings:
        return findings
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if errors:
        first, *others = errors[:MAX_PROBLEMS]
        problems = [first.problem, *(f"{other.path}: {other.problem}" for other in others)]
        more = f"; and {len(errors) - MAX_PROBLEMS} more" if len(errors) > MAX_PROBLEMS else ""
        raise ItemError(item.pass_id, first.path, "; ".join(problems) + more)
    return findings


def _check_change_messages(template: Template, item: PassItem) -> list[Finding]:
    """Find change messages of an item that do not show the new value (Apple, "PassFieldContent")."""
    findings = []
    for key, given in item.fields.items():
        message = given.get("changeMessage")
        if isinstance(message, dict):
            texts = [str(text) for text in message.values()]
        elif isinstance(message, str) and "%@" not in message:
            try:
                translated = [texts[message] for texts in template.strings.values() if message in texts]
            except StringsError:
                continue  # reported when the template is checked
            texts = translated or [message]
        else:
            continue
        if any("%@" not in text for text in texts):
            path, problem = f"fields.{excerpt(key)}.changeMessage", "has no %@, which is replaced by the new value"
            findings.append(Finding(Level.WARNING, path, problem, "Apple, PassFieldContent"))
    return findings


def localized_strings(template: Template, item: PassItem) -> dict[str, bytes]:
    """Return the strings files of a pass, by path; empty if its item has no texts in several languages.

    Each language of the template and of the item has a file with the template's and the item's texts. If a text is
    missing in a language, the file has the text to which a phone in this language falls back, and so has the file of a
    language that the template lacks. So phones never show a key.

    Raises:
        ItemError: the template's strings files are invalid.
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
        template_texts = template.strings
    except StringsError as error:
        problem = f"template '{template.name}': {error}; correct it and publish it again"
        raise ItemError(item.pass_id, "fields", problem) from None
    languages = list(template_texts)
    for language in (language for by_language in texts.values() for language in by_language):
        if not any(same_language(language, known) for known in languages):
            languages.append(language)
    try:
        return {
            f"{language}.lproj/{STRINGS}": write_strings(_texts_of(language, template_texts, texts))
            for language in languages
        }
    except UnicodeEncodeError:
        raise _unwritable(item, "a text") from None


def _texts_of(
    language: str, template_texts: Mapping[str, Mapping[str, str]], texts: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Return all texts of one language by key: those of the template and those of the item."""
    base = pick_language(template_texts, language)
    strings = dict(template_texts[base]) if base is not None else {}
    for key, by_language in texts.items():
        picked = pick_language(by_language, language)
        strings[key] = by_language[picked] if picked is not None else ""
    return strings


def text_key(field: str, name: str, texts: Mapping[str, Json]) -> str:
    """Return the key of a text in several languages: its value in pass.json, and its key in each strings file.

    The key changes with any of the texts, so that phones notice the change in every language.
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
    """Refuse invalid dates. A fraction of a second is accepted only in semantic tags, where Apple's samples have it."""
    if isinstance(value, str):
        is_date = is_w3c_date_with_fraction if fractions else is_w3c_date
        if is_date_key(key) and not is_date(value):
            raise ItemError(item.pass_id, attribute, date_problem(value))
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_dates(item, f"{attribute}.{name}", name, member, fractions=fractions or name == "semantics")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            _check_dates(item, f"{attribute}[{index}]", key, member, fractions=fractions)


def _with_fields(template: Template, item: PassItem, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the styles that the item's fields change, copied only where they change."""
    styles: dict[str, Any] = {}
    for key, given in item.fields.items():
        places = template.places.get(key)
        if places is None:
            known = ", ".join(sorted(template.places)) or "none"
            raise ItemError(
                item.pass_id,
                f"fields.{excerpt(key)}",
                f"template '{template.name}' has no such field; it has {known}",
            )
        for place in places:
            style = styles.setdefault(place.style, dict(content[place.style]))
            if style[place.group] is content[place.style][place.group]:
                style[place.group] = list(style[place.group])
            style[place.group][place.index] = _field(item, key, style[place.group][place.index], given)
    return styles


def _field(item: PassItem, key: str, template: Mapping[str, Any], given: Mapping[str, Json]) -> dict[str, Any]:
    """Return a field with the item's values in place of the template's, validated for its date or number style."""
    attribute = f"fields.{key}"
    for name, value in given.items():
        if isinstance(value, dict) and name in LOCALIZABLE_FIELD_KEYS and is_in_languages(value):
            given = {**given, name: text_key(key, name, value)}
        elif name in FIELD_KEYS or name in template:
            _check_type(item, f"{attribute}.{name}", name, value)
        else:
            known = ", ".join(FIELD_KEYS)
            raise ItemError(
                item.pass_id, f"{attribute}.{excerpt(name)}", f"is not a key of a field; write one of {known}"
            )
    if key in item.numeric_texts and _holds_number(template):
        given = {**given, "value": _number(item, attribute, str(given["value"]))}
    merged = {name: value for name, value in {**template, **given}.items() if value is not None}
    if merged.get("key") != key:
        raise ItemError(item.pass_id, f"{attribute}.key", "must not change: phones match old and new fields by it")
    value = merged.get("value")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ItemError(item.pass_id, attribute, "needs a value that is a string or a number")
    if any(style in merged for style in _DATE_STYLES) and not is_w3c_date(value):
        raise ItemError(item.pass_id, attribute, date_problem(value))
    if any(style in merged for style in _NUMBER_STYLES) and isinstance(value, str) and not is_currency_text(merged):
        raise ItemError(item.pass_id, attribute, f"'{excerpt(value)}' must be a number; the field is formatted as one")
    return merged


def _check_type(item: PassItem, attribute: str, name: str, value: Json) -> None:
    """Refuse a value of the wrong type; None, which removes a key, is accepted."""
    known = FIELD_KEYS.get(name)
    if known is not None and value is not None and not known.kind.has_type(value):
        raise ItemError(item.pass_id, attribute, f"must be {known.kind.words}, not {type(value).__name__}")
    if name not in ("value", "label"):
        _check_dates(item, attribute, name, value, fractions=name == "semantics")


def _holds_number(template: Mapping[str, Any]) -> bool:
    """Tell whether the template's field is a number."""
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
    """Complete the barcodes: one without a message shows the serial number."""
    if not isinstance(barcodes, list) or not all(isinstance(barcode, dict) for barcode in barcodes):
        raise ItemError(item.pass_id, "overrides.barcodes", "must be a list of maps")
    serial_number = item.pass_id.serial_number
    complete = [{"messageEncoding": "utf-8", "message": serial_number, **barcode} for barcode in barcodes]
    for barcode in complete:
        for key in ("format", "message", "messageEncoding"):
            if not isinstance(barcode.get(key), str):
                raise ItemError(item.pass_id, f"overrides.barcodes[].{key}", "must be a string")
    return complete
