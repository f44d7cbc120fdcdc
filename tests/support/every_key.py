"""A pass.json with every key of Apple's format that one pass can have."""

from typing import Any

from tests.support.format_checks import P256_KEY

EVERY_KEY: dict[str, Any] = {
    "formatVersion": 1,
    "description": "Ticket",
    "organizationName": "Acme",
    "passTypeIdentifier": "pass.com.acme",
    "serialNumber": "1",
    "teamIdentifier": "ACME123456",
    "authenticationToken": "0123456789abcdef",
    "webServiceURL": "https://passes.example.com/api",
    "eventTicket": {
        group: [{"key": f"{group}1", "value": "x"} | ({"row": 1} if group == "auxiliaryFields" else {})]
        for group in (
            "headerFields",
            "primaryFields",
            "secondaryFields",
            "auxiliaryFields",
            "backFields",
            "additionalInfoFields",
        )
    }
    | {
        "additionalInfoFields": [
            {
                "key": "all",
                "value": "2026-12-24T18:30Z",
                "label": "L",
                "attributedValue": "<a href='https://a.example'>a</a>",
                "changeMessage": "Now %@",
                "dataDetectorTypes": ["PKDataDetectorTypeLink"],
                "dateStyle": "PKDateStyleShort",
                "timeStyle": "PKDateStyleNone",
                "isRelative": True,
                "ignoresTimeZone": False,
                "textAlignment": "PKTextAlignmentNatural",
                "semantics": {"eventName": "x", "eventStartDate": "2026-12-24T18:30Z"},
            },
            {"key": "money", "value": 1.5, "currencyCode": "EUR"},
            {"key": "number", "value": 1, "numberStyle": "PKNumberStyleSpellOut"},
        ]
    },
    "appLaunchURL": "acme://open",
    "associatedStoreIdentifiers": [1],
    "auxiliaryStoreIdentifiers": [2],
    "backgroundColor": "rgb(0,0,0)",
    "foregroundColor": "rgb(255, 255, 255)",
    "labelColor": "rgb( 1 , 2 , 3 )",
    "footerBackgroundColor": "rgb(1,2,3)",
    "logoText": "Acme",
    "barcodes": [
        {"format": "PKBarcodeFormatEAN13", "message": "4006381333931", "messageEncoding": "iso-8859-1", "altText": "x"},
        {"format": "PKBarcodeFormatQR", "message": "x"},
    ],
    "beacons": [{"proximityUUID": "E2C56DB5-DFFB-48D2-B060-D0F5A71096E0", "major": 1, "minor": 2, "relevantText": "x"}],
    "locations": [{"latitude": 50.9, "longitude": 6.9, "altitude": 50, "relevantText": "x"}],
    "maxDistance": 100,
    "expirationDate": "2026-12-31T23:59:59+01:00",
    "voided": False,
    "groupingIdentifier": "trip",
    "nfc": {
        "message": "x",
        "encryptionPublicKey": P256_KEY,
        "requiresAuthentication": True,
    },
    "relevantDates": [
        {"date": "2026-12-24T18:30Z"},
        {"relevantDate": "2026-12-24T18:30Z"},
        {"startDate": "2026-12-24T18:30Z", "endDate": "2026-12-24T20:30Z"},
    ],
    "semantics": {
        "venueName": "Hall",
        "venueRegionName": "Köln",
        "venueRoom": "Main",
        "eventType": "PKEventTypeSports",
        "awayTeamAbbreviation": "A",
        "homeTeamAbbreviation": "H",
        "silenceRequested": True,
    },
    "sharingProhibited": True,
    "suppressStripShine": True,
    "userInfo": {"anything": [1, "x"]},
    "stripColor": "rgb(1, 2, 3)",
    "logoSymbolName": "ticket",
    "liveDataConfiguration": {"excludedSemantics": ["departureGate"]},
    "businessChatIdentifier": "x",
    "featuredActions": [
        {"identifier": "1", "type": "shop", "url": "https://a.example"},
        {"identifier": "2", "type": "place", "placeIdentifier": "I63802885C8189B2B"},
    ],
    "preferredStyleSchemes": ["posterEventTicket", "eventTicket"],
    "eventLogoText": "x",
    "suppressHeaderDarkening": True,
    "useAutomaticColors": False,
    "contactVenueEmail": "a@b.example",
    "contactVenuePhoneNumber": "+49",
    "contactVenueWebsite": "https://a.example",
    "upcomingPassInformation": [
        {"identifier": "1", "name": "x", "type": "event", "dateInformation": {"date": "2026-12-24T18:30Z"}}
    ],
    "transitProviderEmail": "a@b.example",
    "transitProviderPhoneNumber": "+49",
    "transitProviderWebsiteURL": "https://a.example",
} | {
    f"{name}URL": "https://a.example/x"
    for name in (
        *("accessibility", "addOn", "bagPolicy", "directionsInformation", "merchandise", "orderFood"),
        *("parkingInformation", "purchaseParking", "sell", "transfer", "transitInformation"),
        *("changeSeat", "entertainment", "purchaseAdditionalBaggage", "purchaseLoungeAccess", "purchaseWifi"),
        *("upgrade", "management", "registerServiceAnimal", "reportLostBag", "requestWheelchair", "trackBags"),
    )
}
