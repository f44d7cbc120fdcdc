"""Templates of every style as a designer makes them, and passes made from them."""

import json
import struct
import zlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import render
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template
from infra.local.certificates import DevelopmentChain

PASS_TYPE_IDENTIFIER = "pass.dev.passwire.boarding"
OTHER_TYPE = "pass.com.example.other"
TOKEN = AuthenticationToken("1.sample-token-of-a-pass")
WEB_SERVICE_URL = "https://passes.example.com/api"
COMMON: dict[str, Any] = {
    "formatVersion": 1,
    "organizationName": "Acme",
    "foregroundColor": "rgb(255, 255, 255)",
    "labelColor": "rgb(255, 220, 160)",
    "barcodes": [{"format": "PKBarcodeFormatQR"}],
}
STYLES: dict[str, dict[str, Any]] = {
    "boardingPass": {
        "description": "Train ticket",
        "logoText": "Acme Rail",
        "backgroundColor": "rgb(30, 70, 50)",
        "barcodes": [{"format": "PKBarcodeFormatAztec", "altText": "K-104"}],
        "boardingPass": {
            "transitType": "PKTransitTypeTrain",
            "headerFields": [{"key": "track", "label": "TRACK", "value": "7", "changeMessage": "Track %@"}],
            "primaryFields": [
                {"key": "from", "label": "Köln", "value": "KLN"},
                {"key": "to", "label": "Wien", "value": "VIE"},
            ],
            "secondaryFields": [{"key": "passenger", "label": "PASSENGER", "value": "Ada Lovelace"}],
            "auxiliaryFields": [
                {
                    "key": "departs",
                    "label": "DEPARTS",
                    "value": "2026-12-24T18:30:00+01:00",
                    "dateStyle": "PKDateStyleNone",
                    "timeStyle": "PKDateStyleShort",
                    "ignoresTimeZone": True,
                },
                {"key": "coach", "label": "COACH", "value": 21},
                {"key": "seat", "label": "SEAT", "value": "64"},
            ],
            "backFields": [{"key": "help", "label": "Help", "value": "https://acme.example/help, any time."}],
        },
    },
    "coupon": {
        "description": "Coupon",
        "logoText": "Acme Coffee",
        "backgroundColor": "rgb(120, 40, 30)",
        "barcodes": [{"format": "PKBarcodeFormatPDF417"}],
        "coupon": {
            "primaryFields": [{"key": "offer", "label": "Any premium roast", "value": "20% off"}],
            "auxiliaryFields": [
                {
                    "key": "expires",
                    "label": "EXPIRES",
                    "value": "2026-12-31T23:59:00Z",
                    "dateStyle": "PKDateStyleMedium",
                }
            ],
        },
    },
    "eventTicket": {
        "description": "Concert ticket",
        "backgroundColor": "rgb(40, 40, 90)",
        "eventTicket": {
            "headerFields": [{"key": "gate", "label": "GATE", "value": "B"}],
            "primaryFields": [{"key": "event", "label": "EVENT", "value": "The Analytical Engines"}],
            "secondaryFields": [{"key": "venue", "label": "VENUE", "value": "Old Town Hall"}],
            "auxiliaryFields": [
                {"key": "row", "label": "ROW", "value": "12", "row": 0},
                {"key": "seat", "label": "SEAT", "value": "7", "row": 0},
                {"key": "doors", "label": "DOORS", "value": "19:00", "row": 1},
            ],
        },
    },
    "generic": {
        "description": "Membership",
        "logoText": "Acme Gym",
        "backgroundColor": "rgb(60, 60, 60)",
        "generic": {
            "primaryFields": [{"key": "member", "label": "MEMBER", "value": "Grace Hopper"}],
            "secondaryFields": [
                {"key": "since", "label": "SINCE", "value": "2019-03-01T00:00:00Z", "dateStyle": "PKDateStyleLong"},
                {"key": "visits", "label": "VISITS", "value": 1234567, "numberStyle": "PKNumberStyleDecimal"},
            ],
            "auxiliaryFields": [
                {"key": "level", "label": "LEVEL", "value": "Gold", "textAlignment": "PKTextAlignmentRight"}
            ],
            "backFields": [
                {
                    "key": "terms",
                    "label": "Terms",
                    "value": "See the web",
                    "attributedValue": "<a href='https://a.example'>The web</a>",
                }
            ],
        },
    },
    "storeCard": {
        "description": "Gift card",
        "logoText": "Acme Store",
        "backgroundColor": "rgb(20, 90, 110)",
        "barcodes": [{"format": "PKBarcodeFormatCode128", "altText": "Show this at the till"}],
        "storeCard": {
            "primaryFields": [{"key": "balance", "label": "Balance", "value": 21.75, "currencyCode": "EUR"}],
            "secondaryFields": [{"key": "level", "label": "LEVEL", "value": "Silver"}],
            "auxiliaryFields": [{"key": "usual", "label": "USUAL", "value": "Iced mocha"}],
        },
    },
    "posterGeneric": {
        "description": "Museum membership",
        "backgroundColor": "rgb(20, 20, 30)",
        "posterGeneric": {
            "headerFields": [{"key": "level", "label": "LEVEL", "value": "Patron"}],
            "primaryFields": [{"key": "member", "label": "MEMBER", "value": "Mary Anning"}],
            "secondaryFields": [{"key": "expires", "label": "EXPIRES", "value": "2027"}],
            "footerFields": [{"key": "hours", "label": "OPEN", "value": "10 to 18"}],
        },
    },
}
EVENT_TAGS: dict[str, Any] = {
    "eventName": "The Analytical Engines",
    "venueName": "Old Town Hall",
    "venueRoom": "Great Hall",
    "venueRegionName": "London",
    "eventStartDate": "2026-12-24T19:30:00Z",
}
"""Semantic tags with which phones show an event ticket as a poster."""
BOARDING_TAGS: dict[str, Any] = {
    "airlineCode": "PW",
    "flightNumber": 104,
    "departureAirportCode": "SFO",
    "departureCityName": "San Francisco",
    "departureLocationTimeZone": "America/Los_Angeles",
    "destinationAirportCode": "JFK",
    "destinationCityName": "New York",
    "destinationLocationTimeZone": "America/New_York",
    "originalBoardingDate": "2026-12-24T17:45:00-08:00",
    "originalDepartureDate": "2026-12-24T18:30:00-08:00",
    "originalArrivalDate": "2026-12-25T02:50:00-05:00",
    "passengerName": {"givenName": "Ada", "familyName": "Lovelace"},
}
"""Semantic tags with which phones show a semantic boarding pass."""
IMAGES = {
    "boardingPass": {"logo": (160, 50), "footer": (268, 15)},
    "coupon": {"logo": (50, 50), "strip": (375, 144)},
    "eventTicket": {"logo": (120, 40), "background": (180, 220), "thumbnail": (90, 90)},
    "generic": {"logo": (50, 50), "thumbnail": (90, 90)},
    "storeCard": {"logo": (50, 50), "strip": (375, 144)},
    "posterGeneric": {"primaryLogo": (126, 30), "artwork": (358, 448)},
}


@cache
def png(width: int, height: int, *, seed: int = 0) -> bytes:
    """Make a PNG with a gradient, which shows where the image begins and ends."""
    row = bytearray(3 * width)
    row[0::3] = bytes(60 + 150 * x // width for x in range(width))
    row[2::3] = bytes([160 - 50 * (seed % 3)]) * width
    rows = bytearray()
    for y in range(height):
        row[1::3] = bytes([90 + 120 * y // height]) * width
        rows += b"\0" + row

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def files_of(style: str, **changes: object) -> dict[str, bytes]:
    """The files of a valid template of a style; `changes` replace keys of its pass.json."""
    content = {**COMMON, **STYLES[style], **changes}
    files = {"pass.json": json.dumps(content, indent=2).encode()}
    for name, (width, height) in {"icon": (38, 38), **IMAGES[style]}.items():
        for scale, suffix in ((1, ""), (2, "@2x"), (3, "@3x")):
            files[f"{name}{suffix}.png"] = png(width * scale, height * scale, seed=len(name))
    return files


def item(serial_number: str = "S-1", **attributes: object) -> PassItem:
    """A pass item as a pipeline writes it."""
    return PassItem.parse({"pass_id": f"{PASS_TYPE_IDENTIFIER}/{serial_number}", "template": "sample", **attributes})


def rendered(template: Template, of: PassItem) -> bytes:
    """The pass.json of an item."""
    return render(
        template, of, web_service_url=WEB_SERVICE_URL, authentication_token=TOKEN, team_identifier="DEVTEAM001"
    )


def signer_of(chain: DevelopmentChain) -> Signer:
    """The signer of a development chain."""
    return Signer.from_pem(
        certificate=chain.pass_type_certificate.read_text(),
        private_key=chain.pass_type_key.read_text(),
        intermediate=chain.intermediate.read_text(),
    )


def build(files: dict[str, bytes], signer: Signer | None = None, **attributes: object) -> bytes:
    """Build the pass of an item of the template in `files`, unsigned without a signer."""
    template = Template.parse("sample", files)
    rendered = render(
        template,
        item(**attributes),  # type: ignore[arg-type]  # a test's own attributes
        web_service_url=WEB_SERVICE_URL,
        authentication_token=TOKEN,
        team_identifier="DEVTEAM001",
    )
    now = datetime.now(UTC)
    return template.archive.with_pass(
        rendered, sign=(lambda manifest: signer.sign(manifest, at=now)) if signer else (lambda _: b"unsigned")
    )


def member_templates(folder: Path) -> Path:
    """Write the template `member` into a folder: `visits` is a number, `since` a date, the other fields are text."""
    (folder / "member.pass").mkdir()
    for path, data in files_of("generic").items():
        (folder / "member.pass" / path).write_bytes(data)
    return folder
