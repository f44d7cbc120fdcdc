"""Tests of the tables by the counts of Apple's documentation, as of mid-2026 and iOS 27."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from chalicelib.passes.format import keys
from chalicelib.passes.format.barcodes import FORMATS, IN_BARCODE, OLD_FORMATS
from chalicelib.passes.format.check import (
    BOARDING_TAGS,
    EVENT_TAGS,
    FIELDS_SHOWN,
    MAX_FIELDS_IN_ROW,
    check_pass,
)
from chalicelib.passes.format.images import IMAGES
from chalicelib.passes.format.keys import PASS_KEYS, SEMANTIC_TAGS
from tests.support.every_key import EVERY_KEY

NAMES = json.loads(Path(__file__).with_name("apple_names.json").read_text())


def test_number_of_keys_is_that_of_apples_pages() -> None:
    """The keys were counted in Apple's documentation of Wallet Passes, not in the tables."""
    # "Pass": 5 + 3 that identify and update the pass, 6 styles, 27 general keys (three of them in pass-builder or on
    # devices alone: stripColor, logoSymbolName, liveDataConfiguration), 14 links and 5 keys of poster event tickets,
    # 15 keys of semantic boarding passes
    assert len(PASS_KEYS) == 5 + 3 + 6 + 27 + 14 + 5 + 15
    assert len(keys.STYLES) == 6
    assert len(keys.FIELD_GROUPS) == 7
    assert len(keys.FIELD_KEYS) == 15  # "PassFieldContent"
    by_version = {since: sum(key.since == since for key in SEMANTIC_TAGS.values()) for since in (12, 18, 26)}
    # "SemanticTags": 67 of iOS 12; 20 of iOS 18 and two seen on devices; 17 of iOS 26, venuePlaceID of WWDC25, and the
    # five that pass-builder spells otherwise
    assert by_version == {12: 67, 18: 22, 26: 18 + 5}
    assert len(keys.TAG_SPELLINGS) == 5
    assert len(BOARDING_TAGS) == 12
    assert len(EVENT_TAGS) == 4
    assert (len(FORMATS), len(OLD_FORMATS), len(IN_BARCODE)) == (8, 4, 3)
    assert len(IMAGES) == 11
    assert len(keys.VENUE_LINKS) == 14
    assert len(keys.PERSONALIZATION.keys) == 3
    assert len(keys.FEATURED_ACTION_TYPE.values) == 3 + 2 + 1 + 8


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("pass", PASS_KEYS),
        ("field", keys.FIELD_KEYS),
        ("semantic tag", SEMANTIC_TAGS),
        ("image", IMAGES),
        ("barcode format", FORMATS),
    ],
)
def test_names_are_those_of_apples_pages(kind: str, table: Mapping[str, object]) -> None:
    """The names were collected from Apple's documentation and the peers that fill its gaps, not from the tables."""
    assert sorted(table) == NAMES[kind]


def test_limits_are_those_of_apples_pages() -> None:
    assert (keys.MAX_LOCATIONS, keys.MAX_BEACONS, keys.MAX_FEATURED_ACTIONS) == (10, 10, 2)
    assert (keys.MAX_NFC_MESSAGE_BYTES, keys.MIN_AUTHENTICATION_TOKEN_LENGTH) == (64, 16)
    assert keys.MAX_REMOTE_IMAGE_BYTES == 2 * 1024 * 1024
    assert timedelta(hours=24) == keys.MAX_INTERVAL
    shown = {style: [most for _, most, _ in limits] for style, limits in FIELDS_SHOWN.items()}
    assert shown == {
        "boardingPass": [3, 2, 4, 5],
        "coupon": [3, 1, 4],
        "storeCard": [3, 1, 4],
        "eventTicket": [3, 1, 4],  # and 4 in each row of auxiliaryFields
        "generic": [3, 1, 4, 4],
        "posterGeneric": [1, 4, 2],
    }
    assert MAX_FIELDS_IN_ROW == 4


def test_enumerations_have_as_many_values_as_apple_documents() -> None:
    words = {
        keys.DATE_STYLE: 5,
        keys.NUMBER_STYLE: 4,
        keys.TEXT_ALIGNMENT: 4,
        keys.DATA_DETECTOR: 4,
        keys.TRANSIT_TYPE: 5,
        keys.EVENT_TYPE: 8,
        keys.SECURITY_PROGRAM: 7,
        keys.PASSENGER_CAPABILITY: 5,
    }
    assert {choice: len(choice.values) for choice in words} == words


def test_maps_in_semantics_have_as_many_members_as_apple_documents() -> None:
    members = {
        keys.CURRENCY_AMOUNT: 2,
        keys.TAG_LOCATION: 2,
        keys.PERSON_NAME: 7,
        keys.SEAT: 9,
        keys.WIFI_NETWORK: 4,
        keys.EVENT_DATE_INFO: 5,
    }
    assert {part: len(part.keys) for part in members} == members


def test_every_key_has_its_source_and_version() -> None:
    for table in (PASS_KEYS, SEMANTIC_TAGS, keys.FIELD_KEYS):
        assert all(key.source and 6 <= key.since <= 27 for key in table.values())


def test_a_pass_with_every_key_has_no_findings() -> None:
    assert [str(finding) for finding in check_pass(EVERY_KEY, images=["icon", "artwork"])] == []
    deprecated_and_other_styles = {
        "boardingPass",
        "coupon",
        "generic",
        "storeCard",
        "posterGeneric",
        "barcode",
        "relevantDate",
    }
    assert set(PASS_KEYS) == set(EVERY_KEY) | deprecated_and_other_styles
