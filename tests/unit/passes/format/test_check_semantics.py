"""The checks of semantic tags, and of the style schemes that need them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.check import check_item, check_pass
from chalicelib.passes.format.findings import Level
from chalicelib.passes.format.keys import SEMANTIC_TAGS
from tests.support.format_checks import P256_KEY, Content, a_pass, errors, of_level, tags, warnings, with_field
from tests.support.samples import BOARDING_TAGS

EVENT_SEMANTICS: Content = {"eventName": "x", "venueName": "x", "venueRegionName": "x", "venueRoom": "x"}


TAG_ERRORS: dict[str, object] = {
    "flightNumber": "LH1",
    "duration": "60",
    "seats": {"seatNumber": "1"},
    "totalPrice": "12.50",
    "balance": {"amount": 12.5, "currencyCode": "EUR"},
    "passengerName": "Ada",
    "departureLocation": {"latitude": 1},
    "wifiAccess": [{"ssid": "x"}],
    "silenceRequested": "yes",
    "eventType": "concert",
    "performerNames": "The Engines",
    "departureGate": 22,
    "airplay": {"airPlayDeviceGroupToken": "x"},
    "eventStartDateInfo": {"date": "soon"},
    "departureLocationSecurityPrograms": "PKTransitSecurityProgramOSS",
}


@pytest.mark.parametrize(("tag", "value"), TAG_ERRORS.items(), ids=TAG_ERRORS.keys())
def test_tag_of_another_type_is_an_error_in_templates_items_and_fields(tag: str, value: object) -> None:
    assert errors(tags(**{tag: value}))[0].startswith(f"semantics.{tag}")
    assert errors(with_field(semantics={tag: value}))[0].startswith(f"generic.secondaryFields[0].semantics.{tag}")
    (of_item,) = check_item({"semantics": {tag: value}}, {}, {})
    assert of_item.path.startswith(f"overrides.semantics.{tag}")
    assert of_item.source


@given(st.sampled_from(sorted(SEMANTIC_TAGS)), st.sampled_from([None, 5, 1.5, True, "x", [], {}, [[]], [{}], [5]]))
def test_tag_accepts_one_json_type_alone(tag: str, value: object) -> None:
    samples: list[object] = [5, True, "x", [], {}]
    types = {type(v) for v in samples if not of_level(check_item({"semantics": {tag: v}}, {}, {}), Level.ERROR)}
    assert len(types) <= 1
    assert check_item({"semantics": {tag: value}}, {}, {}) is not None


def test_two_spellings_of_a_tag_give_a_warning_when_they_differ() -> None:
    assert check_pass(tags(departureAirportTimeZone="Europe/Berlin")) == []
    both = {"departureLocationTimeZone": "Europe/Berlin", "departureAirportTimeZone": "Europe/Berlin"}
    assert check_pass(tags(**both)) == []
    assert check_pass(tags(loungePlaceIDs=["I1"], airlineLoungePlaceID="I1")) == []
    differing = {**both, "departureAirportTimeZone": "Europe/London"}
    assert "differs from departureLocationTimeZone" in warnings(tags(**differing))[0]
    assert "differs from loungePlaceIDs" in warnings(tags(loungePlaceIDs=["I1", "I2"], airlineLoungePlaceID="I1"))[0]


SCHEMES = ["semanticBoardingPass", "boardingPass"]


def test_semantic_boarding_pass_with_all_tags_has_no_findings() -> None:
    assert check_pass(a_pass("boardingPass", preferredStyleSchemes=SCHEMES, semantics=BOARDING_TAGS)) == []


@pytest.mark.parametrize("tag", BOARDING_TAGS)
def test_missing_tag_of_a_semantic_boarding_pass_is_named(tag: str) -> None:
    semantics = {name: value for name, value in BOARDING_TAGS.items() if name != tag}
    (warning,) = warnings(a_pass("boardingPass", preferredStyleSchemes=SCHEMES, semantics=semantics))
    assert f"semanticBoardingPass requires {tag};" in warning


def test_tags_in_fields_and_in_the_other_spelling_count() -> None:
    semantics = dict(BOARDING_TAGS)
    field = {"key": "a", "value": "x", "semantics": {"airlineCode": semantics.pop("airlineCode")}}
    semantics["departureAirportTimeZone"] = semantics.pop("departureLocationTimeZone")
    style = {"primaryFields": [field], "transitType": "PKTransitTypeAir"}
    assert (
        check_pass(a_pass("boardingPass", boardingPass=style, preferredStyleSchemes=SCHEMES, semantics=semantics)) == []
    )


def test_semantic_boarding_pass_requires_a_written_name_and_air_transit() -> None:
    semantics = {**BOARDING_TAGS, "passengerName": {"phoneticRepresentation": "x"}}
    style = {"transitType": "PKTransitTypeTrain"}
    (warning,) = warnings(
        a_pass("boardingPass", boardingPass=style, preferredStyleSchemes=SCHEMES, semantics=semantics)
    )
    assert "passengerName.givenName or familyName, boardingPass.transitType PKTransitTypeAir" in warning


@pytest.mark.parametrize(
    ("semantics", "images", "nfc", "lacks"),
    [
        (EVENT_SEMANTICS, ["artwork"], True, ""),
        ({**EVENT_SEMANTICS, "venueRoom": ""}, ["artwork"], True, "venueRoom;"),
        (EVENT_SEMANTICS, ["background"], False, "nfc, or barcodes since iOS 27;"),
        (EVENT_SEMANTICS, ["strip"], True, "the image artwork or background;"),
        (
            {**EVENT_SEMANTICS, "eventType": "PKEventTypeSports"},
            ["artwork"],
            True,
            "awayTeamAbbreviation, homeTeamAbbreviation;",
        ),
        ({**EVENT_SEMANTICS, "eventType": "PKEventTypeLivePerformance"}, ["artwork"], True, "performerNames;"),
    ],
)
def test_missing_part_of_a_poster_event_ticket_is_named(
    semantics: Content,
    images: list[str],
    nfc: bool,  # noqa: FBT001 - a parameter of the table
    lacks: str,
) -> None:
    content = a_pass("eventTicket", preferredStyleSchemes=["posterEventTicket", "eventTicket"], semantics=semantics)
    if nfc:
        content["nfc"] = {"message": "x", "encryptionPublicKey": P256_KEY}
    found = [str(finding) for finding in check_pass(content, images=images)]
    assert found == [] if not lacks else (len(found) == 1 and f"requires {lacks}" in found[0]), found


def test_empty_event_ticket_and_a_poster_without_images_give_a_warning() -> None:
    content = a_pass(
        "eventTicket", eventTicket={}, preferredStyleSchemes=["posterEventTicket"], semantics=EVENT_SEMANTICS
    )
    assert any("an empty ticket" in warning for warning in warnings(content))
    poster = [str(finding) for finding in check_pass(a_pass("posterGeneric"), images=["icon", "background"])]
    assert any("the images primaryLogo" in finding for finding in poster)


@pytest.mark.parametrize("schemes", [True, 1, "posterEventTicket", {"posterEventTicket": 1}])
def test_schemes_of_another_type_are_an_error_beside_upcoming_passes(schemes: object) -> None:
    """They raise no exception where other keys depend on them."""
    found = errors(a_pass(preferredStyleSchemes=schemes, upcomingPassInformation=[]))
    assert any(error.startswith("preferredStyleSchemes: ") for error in found)
