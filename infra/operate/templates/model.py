"""pass.json and personalization.json as Apple's "Pass" pages type them, up to iOS 27.

Types are strict: "1" is no number and 1 is no text, since phones refuse what a lenient parser would let through. A key
that is not here is kept aside, to be warned of: Apple adds some every year. What only Wallet's newest versions know is
typed as far as Apple documents it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from chalicelib.passes.dates import EXPECTED, holds_date, is_w3c_date, not_a_date

_COLOR = re.compile(r"rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")
HEX_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
"""Phones take it, though Apple documents the other form alone."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_MAX_COLOR = 255
MAX_LOCATIONS = 10
MAX_FEATURED_ACTIONS = 2
MIN_AUTHENTICATION_TOKEN = 16


def _date(text: str) -> str:
    if not is_w3c_date(text):
        raise ValueError(EXPECTED)
    return text


def _color(text: str) -> str:
    if HEX_COLOR.fullmatch(text):
        return text
    found = _COLOR.fullmatch(text.strip())
    if found is None or any(int(part) > _MAX_COLOR for part in found.groups()):
        raise ValueError("must be a colour such as rgb(18, 52, 86), each part 0 to 255")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme or " " in text or (parts.scheme in ("http", "https") and not parts.netloc):
        raise ValueError("must be a URL with its scheme, such as https://example.com/")
    return text


def _web_service_url(text: str) -> str:
    if text.rstrip("/").endswith("/v1"):
        raise ValueError("must not end in /v1: phones append it; take it off")
    if urlsplit(text).scheme != "https":
        raise ValueError("must begin with https://; phones call nothing else")
    return _url(text)


def _currency(text: str) -> str:
    if _CURRENCY.fullmatch(text) is None:
        raise ValueError("must be a currency's three letters, such as EUR (ISO 4217)")
    return text


def _scalar(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a text or a number")  # noqa: TRY004 - pydantic reports ValueError alone
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueError alone
    return value


def _dated(value: dict[str, Any]) -> dict[str, Any]:
    for name, member in value.items():
        if isinstance(member, str) and holds_date(name) and not is_w3c_date(member):
            raise ValueError(f"{name}: {not_a_date(member)}")
        for inner in member if isinstance(member, list) else [member]:
            if isinstance(inner, dict):
                _dated(inner)
    return value


Date = Annotated[str, AfterValidator(_date)]
Color = Annotated[str, AfterValidator(_color)]
Url = Annotated[str, AfterValidator(_url)]
WebServiceUrl = Annotated[str, AfterValidator(_web_service_url)]
Currency = Annotated[str, AfterValidator(_currency)]
Scalar = Annotated[Any, BeforeValidator(_scalar)]
Number = Annotated[Any, BeforeValidator(_number)]
Semantics = Annotated[dict[str, Any], AfterValidator(_dated)]
DateStyle = Literal["PKDateStyleNone", "PKDateStyleShort", "PKDateStyleMedium", "PKDateStyleLong", "PKDateStyleFull"]


class Part(BaseModel):
    """What all parts of a pass share."""

    model_config = ConfigDict(strict=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, content: object) -> object:
        nulls = [key for key, value in content.items() if value is None] if isinstance(content, dict) else []
        if nulls:
            raise ValueError(f"{', '.join(nulls)}: null is nothing that phones know; leave the key out")
        return content


class PassField(Part):
    """Apple, "PassFieldContent"."""

    key: Annotated[str, Field(min_length=1)]
    value: Scalar
    label: str | None = None
    attributedValue: Scalar = None
    changeMessage: str | None = None
    dataDetectorTypes: (
        list[
            Literal[
                "PKDataDetectorTypePhoneNumber",
                "PKDataDetectorTypeLink",
                "PKDataDetectorTypeAddress",
                "PKDataDetectorTypeCalendarEvent",
            ]
        ]
        | None
    ) = None
    dateStyle: DateStyle | None = None
    timeStyle: DateStyle | None = None
    numberStyle: (
        Literal["PKNumberStyleDecimal", "PKNumberStylePercent", "PKNumberStyleScientific", "PKNumberStyleSpellOut"]
        | None
    ) = None
    currencyCode: Currency | None = None
    isRelative: bool | None = None
    ignoresTimeZone: bool | None = None
    textAlignment: (
        Literal["PKTextAlignmentLeft", "PKTextAlignmentCenter", "PKTextAlignmentRight", "PKTextAlignmentNatural"] | None
    ) = None
    row: Literal[0, 1] | None = None
    semantics: Semantics | None = None


class PassFields(Part):
    """Apple, "PassFields": what every style has."""

    headerFields: list[PassField] = []
    primaryFields: list[PassField] = []
    secondaryFields: list[PassField] = []
    auxiliaryFields: list[PassField] = []
    backFields: list[PassField] = []
    additionalInfoFields: list[PassField] = []


class BoardingPass(PassFields):
    """Apple, "Pass.BoardingPass"."""

    transitType: Literal[
        "PKTransitTypeAir", "PKTransitTypeBoat", "PKTransitTypeBus", "PKTransitTypeGeneric", "PKTransitTypeTrain"
    ]


class PosterGeneric(PassFields):
    """Apple, "Creating a poster generic pass" (iOS 27)."""

    footerFields: list[PassField] = []


class Barcode(Part):
    """Apple, "Pass.Barcodes". `message` may be left out in a template: the serial number stands there then."""

    format: Annotated[str, Field(pattern=r"^PKBarcodeFormat\w+$")]
    message: str | None = None
    messageEncoding: str | None = None
    altText: str | None = None


class Beacon(Part):
    """Apple, "Pass.Beacons"."""

    proximityUUID: str
    major: Annotated[int, Field(ge=0, le=65535)] | None = None
    minor: Annotated[int, Field(ge=0, le=65535)] | None = None
    relevantText: str | None = None


class Location(Part):
    """Apple, "Pass.Locations"."""

    latitude: Annotated[Number, Field(ge=-90, le=90)]
    longitude: Annotated[Number, Field(ge=-180, le=180)]
    altitude: Number = None
    relevantText: str | None = None


class Nfc(Part):
    """Apple, "Pass.NFC"."""

    message: Annotated[str, Field(max_length=64)]
    encryptionPublicKey: str
    requiresAuthentication: bool | None = None


class RelevantDate(Part):
    """Apple, "Pass.RelevantDates": a moment, or an interval."""

    date: Date | None = None
    relevantDate: Date | None = None
    startDate: Date | None = None
    endDate: Date | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "RelevantDate":
        if (self.startDate is None) != (self.endDate is None):
            raise ValueError("an interval needs both startDate and endDate")
        if self.date is None and self.relevantDate is None and self.startDate is None:
            raise ValueError("needs a date, or startDate and endDate")
        return self


class FeaturedAction(Part):
    """Apple, "Pass.FeaturedActions" (iOS 27): a link, or a place."""

    identifier: str
    type: str
    url: Url | None = None
    placeIdentifier: str | None = None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "FeaturedAction":
        if (self.type == "place") != (self.placeIdentifier is not None) or (self.type == "place") == (
            self.url is not None
        ):
            raise ValueError("needs a url, or for type 'place' a placeIdentifier instead")
        return self


class Pass(Part):
    """pass.json of a template: what the service sets for each pass may be left out."""

    formatVersion: Literal[1] = 1
    description: Annotated[str, Field(min_length=1)]
    organizationName: Annotated[str, Field(min_length=1)]
    passTypeIdentifier: str | None = None
    serialNumber: str | None = None
    teamIdentifier: str | None = None
    authenticationToken: Annotated[str, Field(min_length=MIN_AUTHENTICATION_TOKEN)] | None = None
    webServiceURL: WebServiceUrl | None = None

    boardingPass: BoardingPass | None = None
    coupon: PassFields | None = None
    eventTicket: PassFields | None = None
    generic: PassFields | None = None
    storeCard: PassFields | None = None
    posterGeneric: PosterGeneric | None = None

    appLaunchURL: Url | None = None
    associatedStoreIdentifiers: list[int] | None = None
    auxiliaryStoreIdentifiers: list[int] | None = None
    backgroundColor: Color | None = None
    foregroundColor: Color | None = None
    labelColor: Color | None = None
    footerBackgroundColor: Color | None = None
    logoText: str | None = None
    barcode: Barcode | None = None
    barcodes: list[Barcode] | None = None
    beacons: list[Beacon] | None = None
    locations: Annotated[list[Location], Field(max_length=MAX_LOCATIONS)] | None = None
    maxDistance: Number = None
    expirationDate: Date | None = None
    voided: bool | None = None
    groupingIdentifier: str | None = None
    nfc: Nfc | None = None
    relevantDate: Date | None = None
    relevantDates: list[RelevantDate] | None = None
    semantics: Semantics | None = None
    sharingProhibited: bool | None = None
    suppressStripShine: bool | None = None
    userInfo: Any = None
    featuredActions: Annotated[list[FeaturedAction], Field(max_length=MAX_FEATURED_ACTIONS)] | None = None

    # Poster event tickets, iOS 18
    preferredStyleSchemes: list[str] | None = None
    eventLogoText: str | None = None
    suppressHeaderDarkening: bool | None = None
    useAutomaticColors: bool | None = None
    accessibilityURL: Url | None = None
    addOnURL: Url | None = None
    bagPolicyURL: Url | None = None
    contactVenueWebsite: Url | None = None
    contactVenueEmail: str | None = None
    contactVenuePhoneNumber: str | None = None
    directionsInformationURL: Url | None = None
    merchandiseURL: Url | None = None
    orderFoodURL: Url | None = None
    parkingInformationURL: Url | None = None
    purchaseParkingURL: Url | None = None
    sellURL: Url | None = None
    transferURL: Url | None = None
    transitInformationURL: Url | None = None

    # iOS 26
    upcomingPassInformation: list[Semantics] | None = None
    changeSeatURL: Url | None = None
    entertainmentURL: Url | None = None
    purchaseAdditionalBaggageURL: Url | None = None
    purchaseLoungeAccessURL: Url | None = None
    purchaseWifiURL: Url | None = None
    upgradeURL: Url | None = None
    managementURL: Url | None = None
    registerServiceAnimalURL: Url | None = None
    reportLostBagURL: Url | None = None
    requestWheelchairURL: Url | None = None
    trackBagsURL: Url | None = None
    transitProviderEmail: str | None = None
    transitProviderPhoneNumber: str | None = None
    transitProviderWebsiteURL: Url | None = None


class Personalization(Part):
    """personalization.json: Apple, "Personalize"."""

    requiredPersonalizationFields: Annotated[
        list[
            Literal[
                "PKPassPersonalizationFieldName",
                "PKPassPersonalizationFieldPostalCode",
                "PKPassPersonalizationFieldEmailAddress",
                "PKPassPersonalizationFieldPhoneNumber",
            ]
        ],
        Field(min_length=1),
    ]
    description: Annotated[str, Field(min_length=1)]
    termsAndConditions: str | None = None


DEPRECATED: Mapping[str, str] = {
    "barcode": "is deprecated since iOS 9; write 'barcodes', a list of them",
    "relevantDate": "is deprecated since iOS 18; write 'relevantDates', a list of them",
}
BARCODE_FORMATS = (
    "PKBarcodeFormatQR",
    "PKBarcodeFormatPDF417",
    "PKBarcodeFormatAztec",
    "PKBarcodeFormatCode128",
)
"""Those that every phone draws."""
STYLE_SCHEMES = ("posterEventTicket", "eventTicket", "semanticBoardingPass", "boardingPass")
