"""Starting points for designers: a complete template of each style.

Each has two languages and all groups of fields that phones show on its style, and passes `template check`.
"""

from collections.abc import Mapping, Sequence

from infra.operate.templates.starting_point import Field, StartingPoint

_SAMPLE_DATE = "2030-06-21T18:30:00+02:00"
_SHORT_TIME = {"dateStyle": "PKDateStyleNone", "timeStyle": "PKDateStyleShort", "ignoresTimeZone": True}
_MEDIUM_DATE = {"dateStyle": "PKDateStyleMedium", "timeStyle": "PKDateStyleNone"}


def _back(*more: Field) -> list[Field]:
    return [
        *more,
        Field(
            "help",
            ("Help", "Hilfe"),
            ("Write to help@example.com or call +1 555 0100.", "Schreiben Sie an help@example.com: +49 30 5550100."),
        ),
        Field(
            "terms",
            ("Terms", "Bedingungen"),
            ("Replace this text by your terms.", "Ersetzen Sie diesen Text durch Ihre Bedingungen."),
        ),
    ]


_QR = {"barcodes": [{"format": "PKBarcodeFormatQR", "altText": "7K2M9Q"}]}
_FLIGHT: Mapping[str, Mapping[str, Sequence[Field]]] = {
    "boardingPass": {
        "header": [
            Field("gate", ("GATE", "GATE"), "B22", {"changeMessage": ("Gate changed to %@", "Das Gate ist jetzt %@")})
        ],
        "primary": [
            Field("origin", ("San Francisco", "San Francisco"), "SFO"),
            Field("destination", ("New York", "New York"), "JFK"),
        ],
        "auxiliary": [
            Field(
                "boarding",
                ("BOARDING", "EINSTIEG"),
                _SAMPLE_DATE,
                {**_SHORT_TIME, "changeMessage": ("Boarding is now at %@", "Der Einstieg ist jetzt um %@")},
            ),
            Field("seat", ("SEAT", "SITZ"), "14C", {"changeMessage": ("Your seat is now %@", "Ihr Sitz ist jetzt %@")}),
            Field("flight", ("FLIGHT", "FLUG"), "PW 104"),
            Field("group", ("GROUP", "GRUPPE"), "B"),
        ],
        "secondary": [
            Field("passenger", ("PASSENGER", "PASSAGIER"), "Ada Lovelace"),
            Field("class", ("CLASS", "KLASSE"), ("Economy", "Economy")),
        ],
        "back": _back(),
    }
}
_TICKET: Mapping[str, Sequence[Field]] = {
    "header": [Field("gate", ("GATE", "TOR"), "B", {"changeMessage": ("Gate changed to %@", "Das Tor ist jetzt %@")})],
    "primary": [Field("event", ("EVENT", "VERANSTALTUNG"), ("Summer Concert", "Sommerkonzert"))],
    "secondary": [
        Field("venue", ("VENUE", "ORT"), "Old Town Hall"),
        Field(
            "doors",
            ("DOORS", "EINLASS"),
            _SAMPLE_DATE,
            {**_SHORT_TIME, "changeMessage": ("Doors now open at %@", "Einlass ist jetzt um %@")},
        ),
    ],
    "auxiliary": [
        Field("section", ("SECTION", "BLOCK"), "A", {"row": 0}),
        Field("row", ("ROW", "REIHE"), "12", {"row": 0}),
        Field("seat", ("SEAT", "PLATZ"), "7", {"row": 0}),
        Field("name", ("NAME", "NAME"), "Ada Lovelace", {"row": 1}),
    ],
    "additionalInfo": [Field("parking", ("Parking", "Parken"), ("Garage 2", "Parkhaus 2"))],
    "back": _back(),
}
_MEMBER: Mapping[str, Sequence[Field]] = {
    "header": [Field("level", ("LEVEL", "STUFE"), "Gold", {"changeMessage": ("You are now %@", "Sie sind jetzt %@")})],
    "primary": [Field("member", ("MEMBER", "MITGLIED"), "Ada Lovelace")],
    "secondary": [Field("since", ("MEMBER SINCE", "MITGLIED SEIT"), "2024-03-01T00:00:00Z", _MEDIUM_DATE)],
    "auxiliary": [Field("number", ("NUMBER", "NUMMER"), "7K2M9Q")],
    "back": _back(),
}
_FLIGHT_TAGS = {
    "airlineCode": "PW",
    "flightNumber": 104,
    "departureAirportCode": "SFO",
    "departureCityName": "San Francisco",
    "departureGate": "B22",
    "departureTerminal": "2",
    "departureLocationTimeZone": "America/Los_Angeles",
    "destinationAirportCode": "JFK",
    "destinationCityName": "New York",
    "destinationTerminal": "8",
    "destinationLocationTimeZone": "America/New_York",
    "originalBoardingDate": "2030-06-21T17:45:00-07:00",
    "originalDepartureDate": "2030-06-21T18:30:00-07:00",
    "originalArrivalDate": "2030-06-22T02:50:00-04:00",
    "passengerName": {"givenName": "Ada", "familyName": "Lovelace"},
    "boardingGroup": "B",
    "seats": [{"seatNumber": "14C"}],
    "transitProvider": "Passwire Air",
}
_EVENT_TAGS = {
    "eventName": "Summer Concert",
    "eventType": "PKEventTypeLivePerformance",
    "performerNames": ["The Analytical Engines"],
    "venueName": "Old Town Hall",
    "venueRoom": "Great Hall",
    "venueRegionName": "London",
    "eventStartDate": "2030-06-21T19:30:00+01:00",
    "seats": [{"seatSection": "A", "seatRow": "12", "seatNumber": "7"}],
    "attendeeName": "Ada Lovelace",
}
_AIR = {"boardingPass": {"transitType": "PKTransitTypeAir"}, "groupingIdentifier": "trip"}
STARTING_POINTS: Mapping[str, StartingPoint] = {
    each.name: each
    for each in (
        StartingPoint(
            "boardingPass",
            ("Boarding pass", "Bordkarte"),
            ((20, 56, 92), (48, 110, 160), (255, 196, 92)),
            _FLIGHT,
            ("logo", "footer"),
            {**_AIR, "logoText": "Passwire Air", "barcodes": [{"format": "PKBarcodeFormatAztec"}]},
        ),
        StartingPoint(
            "coupon",
            ("Coupon", "Gutschein"),
            ((122, 40, 34), (196, 92, 60), (255, 214, 170)),
            {
                "coupon": {
                    "header": [Field("shop", ("SHOP", "FILIALE"), ("All", "Alle"))],
                    "primary": [
                        Field(
                            "offer",
                            ("on any roast", "auf jede Röstung"),
                            ("20 % off", "20 % Rabatt"),
                            {"changeMessage": ("New offer: %@", "Neues Angebot: %@")},
                        )
                    ],
                    "secondary": [Field("expires", ("EXPIRES", "GÜLTIG BIS"), _SAMPLE_DATE, _MEDIUM_DATE)],
                    "auxiliary": [Field("code", ("CODE", "CODE"), "SUMMER20")],
                    "back": _back(),
                }
            },
            ("logo", "strip"),
            {"logoText": "Passwire Coffee", "barcodes": [{"format": "PKBarcodeFormatPDF417"}]},
        ),
        StartingPoint(
            "eventTicket",
            ("Concert ticket", "Konzertkarte"),
            ((52, 36, 92), (124, 68, 140), (255, 190, 220)),
            {"eventTicket": _TICKET},
            ("logo", "background", "thumbnail"),
            {**_QR, "logoText": "Passwire Live"},
        ),
        StartingPoint(
            "generic",
            ("Membership card", "Mitgliedskarte"),
            ((44, 48, 56), (92, 100, 116), (180, 214, 255)),
            {"generic": _MEMBER},
            ("logo", "thumbnail"),
            {**_QR, "logoText": "Passwire Gym"},
        ),
        StartingPoint(
            "storeCard",
            ("Store card", "Kundenkarte"),
            ((20, 84, 76), (56, 150, 128), (190, 240, 214)),
            {
                "storeCard": {
                    "header": [
                        Field(
                            "points",
                            ("POINTS", "PUNKTE"),
                            1250,
                            {
                                "numberStyle": "PKNumberStyleDecimal",
                                "changeMessage": ("You now have %@ points", "Sie haben jetzt %@ Punkte"),
                            },
                        )
                    ],
                    "primary": [
                        Field(
                            "balance",
                            ("balance", "Guthaben"),
                            21.75,
                            {
                                "currencyCode": "EUR",
                                "changeMessage": ("Your balance is now %@", "Ihr Guthaben ist jetzt %@"),
                            },
                        )
                    ],
                    "secondary": [Field("member", ("MEMBER", "MITGLIED"), "Ada Lovelace")],
                    "auxiliary": [Field("level", ("LEVEL", "STUFE"), "Gold")],
                    "back": _back(),
                }
            },
            ("logo", "strip"),
            {"logoText": "Passwire Store", "barcodes": [{"format": "PKBarcodeFormatCode128", "altText": "7K2M9Q"}]},
        ),
        StartingPoint(
            "posterGeneric",
            ("Membership card", "Mitgliedskarte"),
            ((24, 40, 72), (72, 128, 160), (170, 220, 255)),
            {
                "posterGeneric": {
                    "header": _MEMBER["header"],
                    "primary": [Field("member", ("", ""), "Ada Lovelace")],
                    "footer": [Field("number", ("NUMBER", "NUMMER"), "7K2M9Q")],
                    "back": _back(),
                },
                "generic": _MEMBER,
            },
            ("logo", "primaryLogo", "artwork", "thumbnail"),
            _QR,
        ),
        StartingPoint(
            "posterEventTicket",
            ("Concert ticket", "Konzertkarte"),
            ((40, 28, 72), (150, 72, 110), (255, 190, 220)),
            {"eventTicket": _TICKET},
            ("logo", "primaryLogo", "secondaryLogo", "artwork", "strip"),
            {
                **_QR,
                "preferredStyleSchemes": ["posterEventTicket", "eventTicket"],
                "semantics": _EVENT_TAGS,
            },
        ),
        StartingPoint(
            "semanticBoardingPass",
            ("Boarding pass", "Bordkarte"),
            ((20, 56, 92), (48, 110, 160), (255, 196, 92)),
            _FLIGHT,
            ("logo", "primaryLogo", "footer"),
            {
                **_AIR,
                "barcodes": [{"format": "PKBarcodeFormatAztec"}],
                "preferredStyleSchemes": ["semanticBoardingPass", "boardingPass"],
                "semantics": _FLIGHT_TAGS,
            },
        ),
    )
}
"""By style, or by the scheme with which newer phones show the style."""
