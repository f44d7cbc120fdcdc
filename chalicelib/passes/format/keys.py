"""Keys of pass.json and personalization.json that Apple documents, each with its type, first version of iOS and source.

They are complete up to iOS 27, as of mid-2026. If Apple's sources disagree, both forms are here, with a comment. A key
that is not here gives a warning and is kept: Apple adds keys every year, and phones ignore unknown ones.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from chalicelib.passes.dates import parse_date
from chalicelib.passes.format.barcodes import check_barcodes
from chalicelib.passes.format.findings import Report, quoted
from chalicelib.passes.format.kinds import (
    AnyJson,
    AttributedText,
    Choice,
    Color,
    Date,
    Flag,
    Key,
    Kind,
    ListOf,
    Map,
    Number,
    Pattern,
    PublicKey,
    Scalar,
    Text,
    Url,
    WebServiceUrl,
)

PASS = "Apple, Pass"
FIELDS = "Apple, PassFieldContent"
TAGS = "Apple, SemanticTags"
POSTERS = "Apple, Pass, poster event tickets"
AIRLINES = "Apple, Pass, semantic boarding passes"
BUILDER = "apple/pass-builder"
PKG = "passkit-generator"
MAX_INTERVAL = timedelta(hours=24)
MAX_BEACONS, MAX_LOCATIONS, MAX_FEATURED_ACTIONS = 10, 10, 2
MAX_NFC_MESSAGE_BYTES = 64
MIN_AUTHENTICATION_TOKEN_LENGTH = 16
MAX_REMOTE_IMAGE_BYTES = 2_097_152

CLASSIC_STYLES = ("boardingPass", "coupon", "eventTicket", "generic", "storeCard")
POSTER_GENERIC = "posterGeneric"
STYLES = (*CLASSIC_STYLES, POSTER_GENERIC)
STYLE_SCHEMES = ("posterEventTicket", "eventTicket", "semanticBoardingPass", "boardingPass")
FIELD_GROUPS = (
    "headerFields",
    "primaryFields",
    "secondaryFields",
    "auxiliaryFields",
    "backFields",
    "additionalInfoFields",
    "footerFields",
)

_TEXT, _FLAG, _COLOR = Text(), Flag(), Color()
_URL = Url(lenient=True)
"""A link behind a button. No source says that phones refuse a pass for one that they cannot open."""
_NAME = Text(min_length=1)
_TEXTS = ListOf(_TEXT)
_ZONE = Pattern(
    r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*",
    "must be the name of a time zone, such as Europe/Berlin (IANA)",
    fatal=False,
)
_CURRENCY = Pattern(r"[A-Z]{3}", "must be a currency of three letters, such as EUR (ISO 4217)", fatal=True)
_TAG_DATE = Date(fractions=True)


def _keys(kind: Kind, source: str, since: int, names: str, ends: str = "") -> dict[str, Key]:
    """Define keys with the same type, source and version; with `ends`, each name is combined with each ending."""
    endings = ends.split() or [""]
    return {name + ending: Key(kind, source, since) for name in names.split() for ending in endings}


# --- Semantic tags -------------------------------------------------------------------------------------------------


def _check_spellings(tags: Mapping[str, Any], path: str, report: Report) -> None:
    """Check tags for which Apple has two spellings: phones may use either, so both must have the same value."""
    for documented, builders in TAG_SPELLINGS.items():
        if documented in tags and builders in tags:
            one, other = tags[documented], tags[builders]
            if (other if isinstance(other, type(one)) else [other]) != one:
                report.warning(
                    f"{path}.{builders}",
                    f"differs from {documented}, which is the same tag; write one of them, or the same value in both",
                    f"{TAGS} and {BUILDER}",
                )


SECURITY_PROGRAM = Choice(
    "PKTransitSecurityProgram", "TSAPreCheck TSAPreCheckTouchlessID OSS ITI ITD GlobalEntry CLEAR", fatal=False
)
PASSENGER_CAPABILITY = Choice(
    "PKPassengerCapability", "Preboarding PriorityBoarding Carryon PersonalItem LapInfant", fatal=False
)
EVENT_TYPE = Choice(
    "PKEventType", "Generic LivePerformance Movie Sports Conference Convention Workshop SocialGathering"
)
CURRENCY_AMOUNT = Map(
    {
        **_keys(Pattern(r"-?\d+(\.\d+)?", 'must be a text of digits, such as "12.50"', fatal=True), TAGS, 12, "amount"),
        **_keys(_CURRENCY, TAGS, 12, "currencyCode"),
    }
)
TAG_LOCATION = Map(
    {
        "latitude": Key(Number(minimum=-90, maximum=90), TAGS, 12, required=True),
        "longitude": Key(Number(minimum=-180, maximum=180), TAGS, 12, required=True),
    }
)
PERSON_NAME = Map(
    _keys(
        _TEXT,
        TAGS,
        12,
        "familyName givenName middleName namePrefix nameSuffix nickname phoneticRepresentation",
    )
)
SEAT = Map(
    {
        **_keys(_TEXT, TAGS, 12, "seatDescription seatIdentifier seatNumber seatRow seatSection seatType"),
        **_keys(_TEXT, TAGS, 18, "seatAisle seatLevel"),
        **_keys(_COLOR, TAGS, 18, "seatSectionColor"),
    }
)
WIFI_NETWORK = Map(
    {
        "ssid": Key(_TEXT, TAGS, 12, required=True),
        "password": Key(Text(secret=True), TAGS, 12, required=True),
        **_keys(Text(secret=True), TAGS, 12, "captiveToken"),
        **_keys(_URL, TAGS, 12, "captiveTokenAuthURL"),
    }
)
EVENT_DATE_INFO = Map(
    {
        **_keys(_TAG_DATE, TAGS, 18, "date"),
        **_keys(_FLAG, TAGS, 18, "ignoreTimeComponents unannounced undetermined"),
        **_keys(_ZONE, TAGS, 18, "timeZone"),
    }
)
SEMANTIC_TAGS: Mapping[str, Key] = {
    # iOS 12: travel
    **_keys(
        _TEXT, TAGS, 12, "airlineCode boardingGroup boardingSequenceNumber carNumber confirmationNumber flightCode"
    ),
    **_keys(_TEXT, TAGS, 12, "priorityStatus securityScreening membershipProgramName membershipProgramNumber"),
    **_keys(_TEXT, TAGS, 12, "transitProvider transitStatus transitStatusReason vehicleName vehicleNumber vehicleType"),
    **_keys(
        _TEXT,
        TAGS,
        12,
        "departure destination",
        "AirportCode AirportName Gate LocationDescription Platform StationName Terminal",
    ),
    **_keys(_TAG_DATE, TAGS, 12, "current original", "ArrivalDate BoardingDate DepartureDate"),
    # Documented as a number; pass-builder reads only whole numbers
    **_keys(Number(whole=True, lenient=True), TAGS, 12, "duration flightNumber"),
    **_keys(TAG_LOCATION, TAGS, 12, "departureLocation destinationLocation venueLocation"),
    **_keys(PERSON_NAME, TAGS, 12, "passengerName"),
    # iOS 12: all passes, events
    **_keys(CURRENCY_AMOUNT, TAGS, 12, "balance totalPrice"),
    **_keys(ListOf(SEAT), TAGS, 12, "seats"),
    **_keys(ListOf(WIFI_NETWORK), TAGS, 12, "wifiAccess"),
    **_keys(_FLAG, TAGS, 12, "silenceRequested"),
    **_keys(_TAG_DATE, TAGS, 12, "eventStartDate eventEndDate"),
    **_keys(EVENT_TYPE, TAGS, 12, "eventType"),
    **_keys(_TEXT, TAGS, 12, "eventName genre venueEntrance venueName venuePhoneNumber venueRoom"),
    **_keys(_TEXT, TAGS, 12, "awayTeam homeTeam", "Abbreviation Location Name"),
    **_keys(_TEXT, TAGS, 12, "leagueAbbreviation leagueName sportName"),
    **_keys(_TEXTS, TAGS, 12, "artistIDs performerNames"),
    # iOS 18
    **_keys(_TEXT, TAGS, 18, "additionalTicketAttributes admissionLevel admissionLevelAbbreviation attendeeName"),
    **_keys(_TEXT, TAGS, 18, "entranceDescription venueRegionName"),
    **_keys(_TEXT, TAGS, 18, "venueEntranceDoor venueEntranceGate venueEntrancePortal"),
    **_keys(_TEXTS, TAGS, 18, "albumIDs playlistIDs"),
    **_keys(_FLAG, TAGS, 18, "tailgatingAllowed"),
    **_keys(_TAG_DATE, TAGS, 18, "venueBoxOfficeOpenDate venueCloseDate venueDoorsOpenDate venueFanZoneOpenDate"),
    **_keys(_TAG_DATE, TAGS, 18, "venueGatesOpenDate venueOpenDate venueParkingLotsOpenDate"),
    **_keys(EVENT_DATE_INFO, TAGS, 18, "eventStartDateInfo"),
    **_keys(_TEXT, PKG, 18, "eventLiveMessage"),
    **_keys(ListOf(Map(_keys(_TEXT, PKG, 18, "airPlayDeviceGroupToken"))), PKG, 18, "airplay"),
    # iOS 26
    **_keys(_TEXT, TAGS, 26, "boardingZone departureCityName destinationCityName ticketFareClass"),
    **_keys(_TEXT, TAGS, 26, "membershipProgramStatus internationalDocumentsVerifiedDeclarationName"),
    **_keys(_FLAG, TAGS, 26, "internationalDocumentsAreVerified"),
    **_keys(_ZONE, TAGS, 26, "departureLocationTimeZone destinationLocationTimeZone"),
    **_keys(ListOf(SECURITY_PROGRAM), TAGS, 26, "departure destination", "LocationSecurityPrograms"),
    **_keys(ListOf(SECURITY_PROGRAM), TAGS, 26, "passengerEligibleSecurityPrograms"),
    **_keys(ListOf(PASSENGER_CAPABILITY), TAGS, 26, "passengerCapabilities"),
    **_keys(_TEXTS, TAGS, 26, "loungePlaceIDs passengerAirlineSSRs passengerInformationSSRs passengerServiceSSRs"),
    **_keys(_TEXT, "WWDC25, session 202", 26, "venuePlaceID"),
    # Spellings of pass-builder and Pass Designer that differ from those of SemanticTags: `TAG_SPELLINGS`
    **_keys(_ZONE, BUILDER, 26, "departureAirportTimeZone destinationAirportTimeZone"),
    **_keys(ListOf(SECURITY_PROGRAM), BUILDER, 26, "departure destination", "AirportSecurityPrograms"),
    **_keys(_TEXT, BUILDER, 26, "airlineLoungePlaceID"),
}
TAG_SPELLINGS: Mapping[str, str] = {
    "departureLocationTimeZone": "departureAirportTimeZone",
    "destinationLocationTimeZone": "destinationAirportTimeZone",
    "departureLocationSecurityPrograms": "departureAirportSecurityPrograms",
    "destinationLocationSecurityPrograms": "destinationAirportSecurityPrograms",
    "loungePlaceIDs": "airlineLoungePlaceID",
}
"""Spellings of pass-builder by documented spelling. Neither is known to fail, so both are accepted as the same tag."""
SEMANTICS = Map(SEMANTIC_TAGS, rule=_check_spellings)

# --- Fields --------------------------------------------------------------------------------------------------------

DATE_STYLE = Choice("PKDateStyle", "None Short Medium Long Full")
NUMBER_STYLE = Choice("PKNumberStyle", "Decimal Percent Scientific SpellOut")
TEXT_ALIGNMENT = Choice("PKTextAlignment", "Left Center Right Natural")
DATA_DETECTOR = Choice("PKDataDetectorType", "PhoneNumber Link Address CalendarEvent")
TRANSIT_TYPE = Choice("PKTransitType", "Air Boat Bus Generic Train")
FIELD_KEYS: Mapping[str, Key] = {
    "key": Key(_NAME, FIELDS, 6, required=True),
    "value": Key(Scalar(), FIELDS, 6, required=True),
    **_keys(_TEXT, FIELDS, 6, "label"),
    **_keys(AttributedText(), FIELDS, 7, "attributedValue"),  # pass-builder: only text
    **_keys(_TEXT, FIELDS, 6, "changeMessage"),
    **_keys(ListOf(DATA_DETECTOR), FIELDS, 7, "dataDetectorTypes"),
    **_keys(DATE_STYLE, FIELDS, 6, "dateStyle timeStyle"),
    **_keys(NUMBER_STYLE, FIELDS, 6, "numberStyle"),
    **_keys(_CURRENCY, FIELDS, 6, "currencyCode"),
    **_keys(_FLAG, FIELDS, 6, "isRelative ignoresTimeZone"),
    **_keys(TEXT_ALIGNMENT, FIELDS, 6, "textAlignment"),
    **_keys(Choice(numbers=(0, 1)), FIELDS, 14, "row"),  # not in pass-builder's model
    **_keys(SEMANTICS, FIELDS, 12, "semantics"),  # not in pass-builder's model
}
LOCALIZABLE_FIELD_KEYS = ("value", "label", "attributedValue", "changeMessage")
"""Keys whose value an item may write as a map from language to text."""
FIELD = Map(FIELD_KEYS)
_FIELD_LIST = ListOf(FIELD)
_STYLE = _keys(_FIELD_LIST, "Apple, PassFields", 6, " ".join(FIELD_GROUPS))
STYLE = Map(_STYLE)
BOARDING_STYLE = Map({**_STYLE, "transitType": Key(TRANSIT_TYPE, "Apple, Pass.BoardingPass", 6, required=True)})

# --- Lists of the top level ----------------------------------------------------------------------------------------


def _check_beacons(beacons: list[Any], path: str, report: Report) -> None:
    different = {str(b.get("proximityUUID")).lower() for b in beacons if isinstance(b, dict)}
    if len(different) > MAX_BEACONS:
        report.error(path, f"has {len(different)} different proximityUUIDs; Apple allows at most {MAX_BEACONS}")


def _check_relevant_date(entry: Mapping[str, Any], path: str, report: Report) -> None:
    start, end = entry.get("startDate"), entry.get("endDate")
    if (start is None) != (end is None):
        report.error(path, "has only one end of an interval; write both startDate and endDate")
    if start is None and entry.get("date") is None and entry.get("relevantDate") is None:
        report.error(path, "has no date; write a date, or startDate and endDate")
    if isinstance(start, str) and isinstance(end, str) and (begins := parse_date(start)) and (ends := parse_date(end)):
        if begins.tzinfo is None or ends.tzinfo is None:
            return  # reported as an invalid date
        if ends < begins:
            report.warning(path, "ends before it starts, so phones never find it relevant; correct one of the dates")
        elif ends - begins > MAX_INTERVAL:
            report.warning(path, "is longer than 24 hours, the maximum on phones; shorten it", PKG)


def _check_actions(actions: list[Any], path: str, report: Report) -> None:
    first: dict[str, int] = {}
    for index, action in enumerate(actions):
        identifier = action.get("identifier") if isinstance(action, dict) else None
        if isinstance(identifier, str) and first.setdefault(identifier, index) != index:
            report.error(
                f"{path}[{index}].identifier",
                f"{quoted(identifier)} is already the identifier of {path}[{first[identifier]}]; rename one",
            )


def _check_action(action: Mapping[str, Any], path: str, report: Report) -> None:
    url = action.get("url")
    if url is None and (action.get("type") != "place" or action.get("placeIdentifier") is None):
        report.error(path, "has no url; write one, or for type 'place' a placeIdentifier")
    elif action.get("type") == "place" and url is not None:
        report.warning(
            f"{path}.url",
            "phones were never seen to show type 'place' with a url; write a placeIdentifier",
            "peers' devices",
        )
    elif action.get("type") == "call" and isinstance(url, str) and not url.lower().startswith("tel:"):
        report.warning(f"{path}.url", "should begin with tel: for type 'call'", "peers' devices")


def _check_upcoming(entries: list[Any], path: str, report: Report) -> None:
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        identifier = entry.get("identifier") if isinstance(entry, dict) else None
        if isinstance(identifier, str) and first.setdefault(identifier, index) != index:
            report.error(
                f"{path}[{index}].identifier",
                f"{quoted(identifier)} is already the identifier of another entry; rename one",
            )


BARCODE = Map(
    {
        "format": Key(_TEXT, "Apple, Pass.Barcodes", 6, required=True),
        **_keys(_TEXT, "Apple, Pass.Barcodes", 6, "message messageEncoding altText"),
    }
)
"""`message` and `messageEncoding` may be missing: the service then writes the serial number and utf-8."""
BEACON = Map(
    {
        "proximityUUID": Key(
            Pattern(
                r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
                "must be a UUID, such as E2C56DB5-DFFB-48D2-B060-D0F5A71096E0",
                fatal=True,
            ),
            "Apple, Pass.Beacons",
            7,
            required=True,
        ),
        **_keys(Number(minimum=0, maximum=65535, whole=True), "Apple, Pass.Beacons", 7, "major minor"),
        **_keys(
            _TEXT, "Apple, Pass.Beacons", 7, "relevantText name"
        ),  # a sample of Apple's has `name`, its table does not
    }
)
LOCATION = Map(
    {
        "latitude": Key(Number(minimum=-90, maximum=90), "Apple, Pass.Locations", 6, required=True),
        "longitude": Key(Number(minimum=-180, maximum=180), "Apple, Pass.Locations", 6, required=True),
        **_keys(Number(), "Apple, Pass.Locations", 6, "altitude"),
        **_keys(_TEXT, "Apple, Pass.Locations", 6, "relevantText"),
    }
)
NFC = Map(
    {
        "message": Key(Text(max_bytes=MAX_NFC_MESSAGE_BYTES), "Apple, Pass.NFC", 9, required=True),
        "encryptionPublicKey": Key(PublicKey(), "Apple, Pass.NFC", 9, required=True),
        **_keys(_FLAG, "Apple, Pass.NFC", 13, "requiresAuthentication"),
    }
)
RELEVANT_DATE = Map(
    {
        **_keys(Date(), "Apple, Pass.RelevantDates", 18, "date startDate endDate"),
        **_keys(Date(), PKG, 18, "relevantDate"),  # name in iOS 18 of the key that is `date` since iOS 26
    },
    rule=_check_relevant_date,
)
FEATURED_ACTION_TYPE = Choice(
    "",
    "viewSchedule watchTrailer listenToMusic call place viewOffersRewards "
    "addToBalance order shop membershipBenefits bookAppointment bookCar bookFlight bookStay",
    fatal=False,
)
_ACTIONS = "Apple, Pass.FeaturedActions"
FEATURED_ACTION = Map(
    {
        "identifier": Key(_NAME, _ACTIONS, 27, required=True),
        "type": Key(FEATURED_ACTION_TYPE, _ACTIONS, 27, required=True),
        **_keys(Url(lenient=True), _ACTIONS, 27, "url"),  # the url of WWDC26's own sample has no scheme
        **_keys(_TEXT, "a peer", 27, "placeIdentifier"),  # neither in Apple's pages nor in pass-builder
    },
    rule=_check_action,
)
VENUE_LINKS: Mapping[str, Key] = {
    **_keys(_URL, POSTERS, 18, "accessibilityURL addOnURL bagPolicyURL directionsInformationURL merchandiseURL"),
    **_keys(_URL, POSTERS, 18, "orderFoodURL parkingInformationURL purchaseParkingURL sellURL transferURL"),
    **_keys(_URL, POSTERS, 18, "transitInformationURL contactVenueWebsite"),
    **_keys(_TEXT, POSTERS, 18, "contactVenueEmail contactVenuePhoneNumber"),
}
AIRLINE_LINKS: Mapping[str, Key] = {
    **_keys(_URL, AIRLINES, 26, "changeSeatURL entertainmentURL managementURL purchaseAdditionalBaggageURL"),
    **_keys(_URL, AIRLINES, 26, "purchaseLoungeAccessURL purchaseWifiURL registerServiceAnimalURL reportLostBagURL"),
    **_keys(_URL, AIRLINES, 26, "requestWheelchairURL upgradeURL trackBagsURL transitProviderWebsiteURL"),
    **_keys(_TEXT, AIRLINES, 26, "transitProviderEmail transitProviderPhoneNumber businessChatIdentifier"),
}
_UPCOMING = "Apple, Pass.UpcomingPassInformation"
_HASH = Pattern(r"[0-9A-Fa-f]{64}", "must be the SHA-256 of the image, 64 hexadecimal digits", fatal=True)
_HTTPS = Pattern(r"[Hh][Tt][Tt][Pp][Ss]://[^ ]+", "must be a URL that begins with https://", fatal=True)


def _check_remote_image(entry: Mapping[str, Any], path: str, report: Report) -> None:
    for name, other in (("SHA256", "sha256"), ("URL", "url")):
        if entry.get(name) is None and entry.get(other) is None:
            report.error(f"{path}.{name}", "is missing; Apple requires it", _UPCOMING)


_REMOTE_IMAGE = Map(
    {
        # Apple's pages write SHA256 and URL, pass-builder sha256 and url; the first form was seen to work on phones
        **_keys(_HASH, _UPCOMING, 26, "SHA256"),
        **_keys(_HASH, BUILDER, 26, "sha256"),
        **_keys(_HTTPS, _UPCOMING, 26, "URL"),
        **_keys(_HTTPS, BUILDER, 26, "url"),
        **_keys(Number(minimum=1, maximum=3), _UPCOMING, 26, "scale"),
        **_keys(Number(minimum=1, maximum=MAX_REMOTE_IMAGE_BYTES, whole=True), _UPCOMING, 26, "size"),
    },
    rule=_check_remote_image,
)
_REMOTE_IMAGES = Map(
    {
        **_keys(ListOf(_REMOTE_IMAGE), _UPCOMING, 26, "URLs"),
        **_keys(ListOf(_REMOTE_IMAGE), BUILDER, 26, "urls"),  # as above
        **_keys(_FLAG, _UPCOMING, 26, "reuseExisting"),
    }
)
UPCOMING_PASS = Map(
    {
        "type": Key(Choice("", "event"), _UPCOMING, 26, required=True),
        "identifier": Key(_NAME, _UPCOMING, 26, required=True),
        "name": Key(_NAME, _UPCOMING, 26, required=True),
        **_keys(
            Map(
                {
                    **_keys(Date(), _UPCOMING, 26, "date"),
                    **_keys(_FLAG, _UPCOMING, 26, "ignoreTimeComponents isAllDay isUnannounced isUndetermined"),
                    **_keys(_ZONE, _UPCOMING, 26, "timeZone"),
                }
            ),
            _UPCOMING,
            26,
            "dateInformation",
        ),
        **_keys(_FLAG, _UPCOMING, 26, "isActive"),
        **_keys(SEMANTICS, _UPCOMING, 26, "semantics"),
        **_keys(_FIELD_LIST, _UPCOMING, 26, "additionalInfoFields backFields"),
        **_keys(ListOf(Number(whole=True)), _UPCOMING, 26, "auxiliaryStoreIdentifiers"),
        **_keys(Map(VENUE_LINKS), _UPCOMING, 26, "URLs"),
        **_keys(Map(VENUE_LINKS), BUILDER, 26, "urls"),  # as above
        **_keys(Map(_keys(_REMOTE_IMAGES, _UPCOMING, 26, "headerImage venueMap")), _UPCOMING, 26, "images"),
    }
)

# --- The top level -------------------------------------------------------------------------------------------------

RESERVED = (
    "formatVersion",
    "passTypeIdentifier",
    "serialNumber",
    "teamIdentifier",
    "authenticationToken",
    "webServiceURL",
)
"""Keys that identify a pass and its web service, which this service writes."""
PASS_KEYS: Mapping[str, Key] = {
    **_keys(Choice(numbers=(1,)), PASS, 6, "formatVersion"),
    "description": Key(_NAME, PASS, 6, required=True),
    "organizationName": Key(_NAME, PASS, 6, required=True),
    **_keys(_TEXT, PASS, 6, "passTypeIdentifier teamIdentifier serialNumber"),
    **_keys(Text(min_length=MIN_AUTHENTICATION_TOKEN_LENGTH, secret=True), PASS, 6, "authenticationToken"),
    **_keys(WebServiceUrl(), PASS, 6, "webServiceURL"),
    **_keys(BOARDING_STYLE, PASS, 6, "boardingPass"),
    **_keys(STYLE, PASS, 6, "coupon eventTicket generic storeCard"),
    **_keys(STYLE, "Apple, Creating a poster generic pass", 27, "posterGeneric"),
    **_keys(Url(), PASS, 7, "appLaunchURL"),
    **_keys(ListOf(Number(whole=True)), PASS, 6, "associatedStoreIdentifiers"),
    **_keys(_COLOR, PASS, 6, "backgroundColor foregroundColor labelColor"),
    **_keys(_COLOR, BUILDER, 6, "stripColor"),  # not in Apple's pages; Pass Designer writes it
    **_keys(_TEXT, PASS, 6, "logoText"),
    **_keys(_TEXT, BUILDER, 26, "logoSymbolName"),  # not in Apple's pages: an SF Symbol as the logo
    **_keys(_FLAG, PASS, 6, "suppressStripShine"),  # not in pass-builder
    **_keys(ListOf(BARCODE, rule=check_barcodes), PASS, 9, "barcodes"),
    "barcode": Key(BARCODE, PASS, 6, advice="is deprecated since iOS 9; write 'barcodes', a list of them"),
    **_keys(ListOf(BEACON, rule=_check_beacons), PASS, 7, "beacons"),
    **_keys(ListOf(LOCATION, maximum=MAX_LOCATIONS), PASS, 6, "locations"),
    **_keys(Number(), PASS, 7, "maxDistance"),
    "relevantDate": Key(Date(), PASS, 6, advice="is deprecated since iOS 18; write 'relevantDates', a list of them"),
    **_keys(ListOf(RELEVANT_DATE), PASS, 18, "relevantDates"),
    **_keys(Date(), PASS, 7, "expirationDate"),
    **_keys(_FLAG, PASS, 7, "voided"),
    **_keys(_TEXT, PASS, 7, "groupingIdentifier"),
    **_keys(NFC, PASS, 9, "nfc"),
    **_keys(SEMANTICS, PASS, 12, "semantics"),
    **_keys(_FLAG, PASS, 11, "sharingProhibited"),
    **_keys(AnyJson(), PASS, 7, "userInfo"),
    **_keys(ListOf(Choice("", " ".join(STYLE_SCHEMES), fatal=False)), PASS, 18, "preferredStyleSchemes"),
    # absent from Apple's list of keys, present in its article on metadata
    **_keys(
        ListOf(FEATURED_ACTION, maximum=MAX_FEATURED_ACTIONS, rule=_check_actions), _ACTIONS, 27, "featuredActions"
    ),
    **_keys(ListOf(UPCOMING_PASS, rule=_check_upcoming), _UPCOMING, 26, "upcomingPassInformation"),
    **_keys(
        Map(_keys(_TEXTS, "wallet-designer", 26, "excludedSemantics")), "wallet-designer", 26, "liveDataConfiguration"
    ),
    # Poster event tickets
    **VENUE_LINKS,
    **_keys(ListOf(Number(whole=True)), POSTERS, 18, "auxiliaryStoreIdentifiers"),
    **_keys(_TEXT, PKG, 18, "eventLogoText"),
    **_keys(_COLOR, POSTERS, 18, "footerBackgroundColor"),
    **_keys(_FLAG, POSTERS, 18, "suppressHeaderDarkening useAutomaticColors"),
    # Semantic boarding passes
    **AIRLINE_LINKS,
}
OVERRIDABLE_KEYS: Mapping[str, Key] = {
    name: key for name, key in PASS_KEYS.items() if name not in RESERVED and name not in STYLES
}
"""Keys that an item may have in `overrides`."""

# --- personalization.json ------------------------------------------------------------------------------------------

_SIGN_UP = "Apple, Personalize"
PERSONALIZATION = Map(
    {
        "requiredPersonalizationFields": Key(
            ListOf(
                Choice("PKPassPersonalizationField", "Name PostalCode EmailAddress PhoneNumber"),
                minimum=1,
            ),
            _SIGN_UP,
            10,
            required=True,
        ),
        "description": Key(_NAME, _SIGN_UP, 10, required=True),
        **_keys(_TEXT, _SIGN_UP, 10, "termsAndConditions"),
    }
)
