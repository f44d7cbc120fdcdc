"""Checks of a whole pass.json, such as a template's, and of the parts that an item adds to it.

Both use the same tables (`keys`). An error is a value for which phones refuse the pass; a warning is a value that they
leave out or show in another way than written. Only values of an item are reported for it, not those of its template.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from chalicelib.core.errors import excerpt
from chalicelib.passes.dates import EXPECTED, is_w3c_date, parse_date
from chalicelib.passes.format import keys
from chalicelib.passes.format.barcodes import IN_BARCODE, SQUARE, barcode_problem, first_drawn
from chalicelib.passes.format.findings import Finding, Report, quoted
from chalicelib.passes.format.images import LANGUAGE_PATTERN
from chalicelib.passes.format.keys import (
    CLASSIC_STYLES,
    FIELD_GROUPS,
    LOCALIZABLE_FIELD_KEYS,
    OVERRIDABLE_KEYS,
    PASS_KEYS,
    POSTER_GENERIC,
    STYLES,
)
from chalicelib.passes.format.kinds import Map, is_json_number, join

MAX_SUGGESTIONS = 20
MAX_DEPTH = 64
"""Levels of nested maps and lists: no key of Apple needs ten, and the JSON writer fails at 250."""
_HALF = "half of a character (a lone surrogate, U+D800 to U+DFFF); write the whole character"
_DATE_STYLES = ("dateStyle", "timeStyle")
_NUMBER_STYLES = ("numberStyle", "currencyCode")
_PLAIN = (str, int, float)
_TWO_STYLES = "has numberStyle and currencyCode; phones use currencyCode, remove the other"
_PLACED = frozenset(("textAlignment", "row", *_NUMBER_STYLES))
"""Keys of a field whose effect depends on its place or on each other."""
_PASS = Map(PASS_KEYS)
_OVERRIDES = Map(OVERRIDABLE_KEYS)
_REQUIRED = tuple(name for name, key in PASS_KEYS.items() if key.required)
_FIELDS_OF_ITEMS = Map({name: key for name, key in keys.FIELD_KEYS.items() if name not in ("key", "value")})
FIELDS_SHOWN: Mapping[str, tuple[tuple[tuple[str, ...], int, str], ...]] = {
    "boardingPass": (
        (("headerFields",), 3, "spatie/laravel-mobile-pass"),
        (("primaryFields",), 2, "spatie/laravel-mobile-pass"),
        (("secondaryFields",), 4, "spatie/laravel-mobile-pass"),
        (("auxiliaryFields",), 5, "spatie/laravel-mobile-pass"),
    ),
    "coupon": (
        (("headerFields",), 3, "Apple, Pass.Coupon"),
        (("primaryFields",), 1, "Apple, Pass.Coupon"),
        (("secondaryFields", "auxiliaryFields"), 4, "Apple, Pass.Coupon"),
    ),
    "storeCard": (
        (("headerFields",), 3, "Apple, Pass.StoreCard"),
        (("primaryFields",), 1, "Apple, Pass.StoreCard"),
        (("secondaryFields", "auxiliaryFields"), 4, "Apple, Pass.StoreCard"),
    ),
    "eventTicket": (
        (("headerFields",), 3, "Apple, Pass.EventTicket"),
        (("primaryFields",), 1, "Apple, Pass.EventTicket"),
        (("secondaryFields",), 4, "spatie/laravel-mobile-pass"),
    ),
    "generic": (
        (("headerFields",), 3, "Apple, Pass.Generic"),
        (("primaryFields",), 1, "Apple, Pass.Generic"),
        (("secondaryFields",), 4, "Apple, Pass.Generic"),
        (("auxiliaryFields",), 4, "Apple, Pass.Generic"),
    ),
    POSTER_GENERIC: (
        (("headerFields",), 1, "Apple, Creating a poster generic pass"),
        (("primaryFields",), 4, "Apple, Creating a poster generic pass"),
        (("footerFields",), 2, "Apple, Creating a poster generic pass"),  # WWDC26, session 209: one
    ),
}
"""Groups by style, with the number of their fields that phones show together, and the source."""
_POSTER_SOURCE = "Apple, Creating a poster generic pass"
MAX_FIELDS_IN_ROW = 4
BOARDING_TAGS = (
    "airlineCode",
    "flightNumber",
    "departureAirportCode",
    "departureCityName",
    "departureLocationTimeZone",
    "destinationAirportCode",
    "destinationCityName",
    "destinationLocationTimeZone",
    "originalArrivalDate",
    "originalBoardingDate",
    "originalDepartureDate",
    "passengerName",
)
"""Tags that a semantic boarding pass requires (Apple, "Creating an airline boarding pass using semantic tags")."""
EVENT_TAGS = ("eventName", "venueName", "venueRegionName", "venueRoom")
SPORTS_TAGS = ("awayTeamAbbreviation", "homeTeamAbbreviation")
LIVE_TAGS = ("performerNames",)


def check_pass(content: Mapping[str, Any], *, images: Collection[str] | None = None) -> list[Finding]:
    """Check a pass.json, such as a template's. Keys that the service sets for each pass may be missing.

    Args:
        content: the parsed JSON.
        images: names of the images in the same folder without scale and suffix, such as `icon`; None if unknown.

    Returns:
        The errors and warnings in a readable order; at most `MAX_FINDINGS`.
    """
    report = Report(suggestions=MAX_SUGGESTIONS)
    _check_json(content, "", report, 0)
    _PASS.check(content, "", report)
    for name in content:
        key = PASS_KEYS.get(name)
        if key is not None and key.advice:
            report.warning(name, key.advice, key.source)
    _check_styles(content, report)
    for style in STYLES:
        if isinstance(content.get(style), dict):
            _check_style(style, content, report)
    _check_left_out(content, report)
    _check_schemes(content, images, report)
    return report.findings


def check_item(
    overrides: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]], template: Mapping[str, Any]
) -> list[Finding]:
    """Check the values that an item adds to its template, by the same tables.

    Args:
        overrides: values by top-level key. None removes the template's key.
        fields: values by field key and Apple's keys of a field. None removes the template's key.
        template: the template's pass.json.

    Returns:
        The findings, with paths in the item: `overrides.locations[0].latitude`, `fields.gate.row`.
    """
    report = Report()
    for key, field in fields.items():
        if len(field) > 1 or type(field.get("value")) not in _PLAIN:
            _check_field_of_item(f"fields.{excerpt(key)}", field, report)
            if not _PLACED.isdisjoint(field):
                _check_places_of_item(key, field, template, report)
    if overrides:
        _OVERRIDES.check_members(overrides, "overrides", report)
        if "barcode" in overrides:
            _check_single_barcode(overrides["barcode"], {**template, **overrides}, "overrides.barcode", report)
        for name in _REQUIRED:
            if name in overrides and overrides[name] is None:
                report.error(f"overrides.{name}", "must not be removed: Apple requires it", keys.PASS)
        if overrides.get("preferredStyleSchemes") or ("semantics" in overrides and "preferredStyleSchemes" in template):
            _check_schemes({**template, **overrides}, None, report, "overrides.semantics")
    return report.findings


def override_problem(name: str, value: object) -> str:
    """Return the problem of an item's value for a top-level key; empty if it is valid, or if the key is unknown.

    Args:
        name: name of the key, such as `relevantDate`.
        value: the value, not None.
    """
    key = OVERRIDABLE_KEYS.get(name)
    report = Report()
    if key is not None:
        key.kind.check(value, name, report)
    return report.errors[0].problem if report.errors else ""


def is_in_languages(value: object) -> bool:
    """Tell whether a value is a text in several languages: a map from language to text."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(text, str) and re.fullmatch(LANGUAGE_PATTERN, name) for name, text in value.items())
    )


def find_unwritable(value: object, path: str) -> list[Finding]:
    """Find parts of a value that JSON in UTF-8 cannot contain: lone surrogates, huge numbers, too many levels.

    Args:
        value: a JSON value.
        path: path of the value, with which the findings' paths begin.
    """
    report = Report()
    _check_json(value, path, report, 0, null=True)
    return report.findings


def fields_of(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Iterate over the fields of a pass.json that are maps: path, style, group, and the field."""
    for style in STYLES:
        groups = content.get(style)
        if not isinstance(groups, dict):
            continue
        for group in FIELD_GROUPS:
            members = groups.get(group)
            for index, member in enumerate(members if isinstance(members, list) else ()):
                if isinstance(member, dict):
                    yield f"{style}.{group}[{index}]", style, group, member


def is_currency_text(field: Mapping[str, Any]) -> bool:
    """Tell whether a field with a currency has its number as a text, as in one of Apple's samples."""
    value = field.get("value")
    return (
        isinstance(value, str)
        and "currencyCode" in field
        and "numberStyle" not in field
        and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", value) is not None
    )


def misplaced(name: str, style: str, group: str) -> str:
    """Return the reason why phones ignore a key of a field in its group; empty if they use it."""
    if name == "textAlignment" and group in ("primaryFields", "backFields"):
        return f"has no effect in {group}; remove it"
    if name == "row" and (style != "eventTicket" or group != "auxiliaryFields"):
        return "has an effect only in the auxiliaryFields of an eventTicket; remove it"
    return ""


def _check_field_of_item(path: str, field: Mapping[str, Any], report: Report) -> None:
    plain: dict[str, Any] = {}
    for name, value in field.items():
        if name in LOCALIZABLE_FIELD_KEYS and isinstance(value, dict):
            _check_languages(f"{path}.{name}", value, report)
        elif name not in ("key", "value"):
            plain[name] = value
    _FIELDS_OF_ITEMS.check_members(plain, path, report)


def _check_places_of_item(key: str, field: Mapping[str, Any], template: Mapping[str, Any], report: Report) -> None:
    """Report keys of an item's field that phones ignore in the places that the template has for it."""
    for _, style, group, member in fields_of(template):
        if member.get("key") != key:
            continue
        path = f"fields.{excerpt(key)}"
        for name in ("textAlignment", "row"):
            if field.get(name) is not None and (problem := misplaced(name, style, group)):
                report.warning(f"{path}.{name}", problem, keys.FIELDS)
        merged = {**member, **field}
        if all(merged.get(name) is not None for name in _NUMBER_STYLES):
            report.warning(path, _TWO_STYLES, keys.BUILDER)
        return


def _check_languages(path: str, texts: Mapping[str, Any], report: Report) -> None:
    """Check a text in several languages, each of which becomes an entry of the pass's strings files."""
    if not texts:
        report.error(path, "is an empty map; write a text, or a map from language to text")
    for language, text in texts.items():
        if re.fullmatch(LANGUAGE_PATTERN, language) is None:
            report.error(f"{path}.{excerpt(language)}", "is not a valid language; write it like en, de-CH or zh-Hans")
        elif not isinstance(text, str):
            report.error(f"{path}.{language}", f"{quoted(text)}: must be a text, since it is one of several languages")
        elif not _is_unicode(text):
            report.error(f"{path}.{language}", f"{quoted(text)} contains {_HALF}")


def _check_json(value: object, path: str, report: Report, depth: int, *, null: bool = False) -> None:
    """Report values that JSON readers on phones cannot read, at any path."""
    if report.full:
        return
    if depth > MAX_DEPTH:
        report.error(path, f"has more than {MAX_DEPTH} levels of maps and lists, which phones cannot read; flatten it")
    elif isinstance(value, dict):
        for name, member in value.items():
            where = join(path, excerpt(str(name)))
            if not _is_unicode(str(name)):
                report.error(where, f"is a key with {_HALF}")
            _check_json(member, where, report, depth + 1, null=null or (depth == 0 and name == "userInfo"))
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            _check_json(member, f"{path}[{index}]", report, depth + 1, null=null)
    elif problem := _unwritable(value, null=null):
        report.error(path, problem)


def _unwritable(value: object, *, null: bool) -> str:
    if value is None:
        return "" if null else "null is not a value of Apple's format; leave the key out"
    if isinstance(value, str):
        return "" if _is_unicode(value) else f"{quoted(value)} contains {_HALF}"
    if isinstance(value, int | float) and not isinstance(value, bool) and not is_json_number(value):
        return f"{quoted(value)}: must be a number of at most 64 bits"
    return ""


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_styles(content: Mapping[str, Any], report: Report) -> None:
    styles = [style for style in STYLES if style in content]
    classic = [style for style in styles if style in CLASSIC_STYLES]
    if not styles:
        report.error("", f"has no style; add one of {', '.join(STYLES)}", keys.PASS)
    elif len(classic) > 1:
        report.error("", f"has the styles {' and '.join(classic)}; a pass has only one, keep it", keys.PASS)
    elif not classic:
        report.warning(
            POSTER_GENERIC,
            "phones before iOS 27 cannot add a pass with only this style; add a second style such as generic",
            keys.PKG,
        )


def _check_style(style: str, content: Mapping[str, Any], report: Report) -> None:
    _check_counts(style, content, report)
    first: dict[str, str] = {}
    for path, of_style, group, field in fields_of(content):
        if of_style != style:
            continue
        key = field.get("key")
        if isinstance(key, str) and first.setdefault(key, path) != path:
            report.error(
                f"{path}.key",
                f"{quoted(key)} is already the key of {first[key]}; keys must be unique in a style, rename one",
                keys.FIELDS,
            )
        for name in ("textAlignment", "row"):
            if name in field and (problem := misplaced(name, style, group)):
                report.warning(f"{path}.{name}", problem, keys.FIELDS)
        _check_field_value(field, path, report)


def _check_field_value(field: Mapping[str, Any], path: str, report: Report) -> None:
    value = field.get("value")
    dated = any(style in field for style in _DATE_STYLES)
    numbered = any(style in field for style in _NUMBER_STYLES)
    if dated and numbered:
        report.error(path, "has the styles of a date and of a number; keep one", keys.FIELDS)
    elif dated and not is_w3c_date(value):
        report.error(f"{path}.value", f"{quoted(value)} {EXPECTED}", keys.FIELDS)
    elif is_currency_text(field):
        # Apple requires a number, but its sample of a store card has "10"
        report.warning(f"{path}.value", f"{quoted(value)} should be a number, without quotes", keys.FIELDS)
    elif numbered and (isinstance(value, bool) or not isinstance(value, int | float)):
        report.error(f"{path}.value", f"{quoted(value)} must be a number; the field is formatted as one", keys.FIELDS)
    if all(style in field for style in _NUMBER_STYLES):
        report.warning(path, _TWO_STYLES, keys.BUILDER)


def _check_counts(style: str, content: Mapping[str, Any], report: Report) -> None:
    groups: Mapping[str, Any] = content[style]

    def count(*names: str) -> int:
        return sum(len(members) for name in names if isinstance(members := groups.get(name), list))

    limits = FIELDS_SHOWN[style]
    barcodes = content.get("barcodes")
    first = first_drawn(barcodes) if isinstance(barcodes, list) else None
    if style == "generic" and first is not None and first["format"] in SQUARE:
        limits = (
            *limits[:2],
            (("secondaryFields", "auxiliaryFields"), 4, "Apple, Pass.Generic, with a square barcode"),
        )
    for names, most, source in limits:
        if (there := count(*names)) > most:
            report.warning(
                f"{style}.{names[0]}",
                f"{' and '.join(names)} have {there} fields{' together' if len(names) > 1 else ''}; phones show "
                f"{most}, move the others to the back",
                source,
            )
    if style == "eventTicket" and isinstance(auxiliary := groups.get("auxiliaryFields"), list):
        for row in (0, 1):
            there = sum(1 for f in auxiliary if isinstance(f, dict) and f.get("row", 0) == row)
            if there > MAX_FIELDS_IN_ROW:
                report.warning(
                    "eventTicket.auxiliaryFields",
                    f"row {row} has {there} fields; phones show {MAX_FIELDS_IN_ROW} in each of the rows 0 and 1",
                    "Apple, Pass.EventTicket",
                )
    hidden = ["footerFields"] if style != POSTER_GENERIC else ["secondaryFields", "auxiliaryFields"]
    hidden += ["additionalInfoFields"] if style != "eventTicket" else []
    for name in hidden:
        if count(name):
            report.warning(
                f"{style}.{name}",
                f"phones do not show this group on {style}; move its fields to another group",
                keys.PKG,
            )


def _check_left_out(content: Mapping[str, Any], report: Report) -> None:
    """Report keys that phones ignore because other keys are present or missing."""
    grouping = content.get("groupingIdentifier")
    if grouping is not None and not {"boardingPass", "eventTicket"} & set(content):
        report.warning(
            "groupingIdentifier", "has an effect only for boardingPass and eventTicket; remove it", keys.PASS
        )
    elif grouping == "":
        report.warning("groupingIdentifier", "is empty; name the group, or remove the key", keys.PASS)
    if "appLaunchURL" in content and not content.get("associatedStoreIdentifiers"):
        report.warning("appLaunchURL", "opens no app without associatedStoreIdentifiers; add them", keys.PASS)
    if content.get("useAutomaticColors") is True and {"foregroundColor", "labelColor"} & set(content):
        report.warning(
            "useAutomaticColors",
            "makes phones ignore foregroundColor and labelColor; keep one or the other",
            keys.POSTERS,
        )
    schemes = content.get("preferredStyleSchemes")
    is_poster = isinstance(schemes, list) and "posterEventTicket" in schemes
    if "upcomingPassInformation" in content and not is_poster:
        report.warning(
            "upcomingPassInformation",
            "is shown only on poster event tickets; add posterEventTicket to preferredStyleSchemes",
            keys.POSTERS,
        )
    _check_single_barcode(content.get("barcode"), content, "barcode", report)


def _check_single_barcode(barcode: object, content: Mapping[str, Any], path: str, report: Report) -> None:
    """Check the deprecated `barcode`, which phones draw if there is no `barcodes`."""
    if not isinstance(barcode, dict):
        return
    key, problem = barcode_problem(barcode)
    if problem:
        say = report.warning if content.get("barcodes") else report.error
        say(f"{path}.{key}", f"{problem}; phones show the pass without a barcode", keys.PASS)
    elif barcode["format"] not in IN_BARCODE:
        report.warning(
            f"{path}.format", f"phones draw only {', '.join(IN_BARCODE)} here; write 'barcodes' instead", keys.PASS
        )


def _check_schemes(
    content: Mapping[str, Any], images: Collection[str] | None, report: Report, where: str = "semantics"
) -> None:
    """Report schemes that lack required keys: phones show the next scheme or the style, without an error (Apple)."""
    if POSTER_GENERIC in content and images is not None:
        lacks = [] if {"artwork", "background"} & set(images) else ["artwork"]
        lacks += [] if "primaryLogo" in images else ["primaryLogo"]
        if lacks:
            report.warning(
                POSTER_GENERIC,
                f"requires the images {' and '.join(lacks)}, which are missing; add them",
                _POSTER_SOURCE,
            )
    schemes = content.get("preferredStyleSchemes")
    if not isinstance(schemes, list):
        return
    tags = all_tags(content)
    if "semanticBoardingPass" in schemes and "boardingPass" in content:
        _check_boarding_scheme(content, tags, report, where)
    if "posterEventTicket" in schemes and "eventTicket" in content:
        _check_poster_scheme(content, tags, images, report, where)
    for scheme, style in (("semanticBoardingPass", "boardingPass"), ("posterEventTicket", "eventTicket")):
        if scheme in schemes and style not in content:
            report.warning(
                f"preferredStyleSchemes[{schemes.index(scheme)}]",
                f"belongs to {style}, but this pass has another style; remove it",
                keys.PASS,
            )


def _check_boarding_scheme(content: Mapping[str, Any], tags: Mapping[str, Any], report: Report, where: str) -> None:
    if lacks := lacks_for_semantic_boarding_pass(content, tags):
        report.warning(
            where,
            f"semanticBoardingPass requires {', '.join(lacks)}; add them to the template or each item, else phones "
            "show the classic boardingPass instead",
            "Apple, Creating an airline boarding pass using semantic tags",
        )


def _check_poster_scheme(
    content: Mapping[str, Any], tags: Mapping[str, Any], images: Collection[str] | None, report: Report, where: str
) -> None:
    lacks = lacks_for_poster_event_ticket(tags, images)
    if not ({"nfc", "barcodes", "barcode"} & set(content)):
        # WWDC24 requires NFC. One of Apple's pages excludes barcodes, another allows them. On iOS 27 a barcode alone
        # was seen to work (passkit-generator issue 268), and earlier phones show the classic ticket.
        lacks.append("nfc, or barcodes since iOS 27")
    if lacks:
        report.warning(
            where,
            f"posterEventTicket requires {', '.join(lacks)}; add them to the template or each item, else phones "
            "show the classic eventTicket instead",
            "Apple, Creating an event pass using semantic tags",
        )
    style = content["eventTicket"]
    if isinstance(style, dict) and not (style.get("headerFields") or style.get("primaryFields")):
        report.warning(
            "eventTicket",
            "has no headerFields and no primaryFields, so phones before iOS 18 show an empty ticket; add them",
            keys.POSTERS,
        )
    start, end = (parse_date(str(tags.get(name))) for name in ("eventStartDate", "eventEndDate"))
    if start and end and start.tzinfo and end.tzinfo and end < start:
        report.warning(f"{where}.eventEndDate", "is before eventStartDate; correct one of them", keys.BUILDER)


def lacks_for_semantic_boarding_pass(content: Mapping[str, Any], tags: Mapping[str, Any]) -> list[str]:
    """Return what a boarding pass lacks for the scheme semanticBoardingPass; empty if phones use it (iOS 26)."""
    style = content.get("boardingPass")
    lacks = _lacking(BOARDING_TAGS, tags)
    name = tags.get("passengerName")
    if isinstance(name, dict) and not (name.get("givenName") or name.get("familyName")):
        lacks.append("passengerName.givenName or familyName")
    if isinstance(style, dict) and style.get("transitType") != "PKTransitTypeAir":
        lacks.append("boardingPass.transitType PKTransitTypeAir")
    return lacks


def lacks_for_poster_event_ticket(tags: Mapping[str, Any], images: Collection[str] | None) -> list[str]:
    """Return what an event ticket lacks for the scheme posterEventTicket, apart from its barcode or NFC (iOS 27).

    Args:
        tags: its semantic tags.
        images: names of its images; None if unknown.
    """
    lacks = _lacking(EVENT_TAGS, tags)
    if tags.get("eventType") == "PKEventTypeSports":
        lacks += _lacking(SPORTS_TAGS, tags)
    if tags.get("eventType") == "PKEventTypeLivePerformance":
        lacks += _lacking(LIVE_TAGS, tags)
    if images is not None and not {"artwork", "background"} & set(images):
        lacks.append("the image artwork or background")
    return lacks


def all_tags(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the semantic tags of the pass and of its fields, which have the same effect (Apple, "SemanticTags")."""
    tags: dict[str, Any] = {}
    for _, _, _, field in fields_of(content):
        if isinstance(field.get("semantics"), dict):
            tags.update(field["semantics"])
    if isinstance(content.get("semantics"), dict):
        tags.update(content["semantics"])
    return tags


def _lacking(names: Collection[str], tags: Mapping[str, Any]) -> list[str]:
    return [name for name in names if not (tags.get(name) or tags.get(keys.TAG_SPELLINGS.get(name, name)))]
