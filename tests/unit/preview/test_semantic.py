"""Tests of the faces that are composed of semantic tags."""

from chalicelib.preview.semantic import Boarding, TicketTexts
from chalicelib.preview.words import words_of
from tests.support.samples import BOARDING_TAGS, EVENT_TAGS


def text(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def event(**changes: object) -> TicketTexts:
    return TicketTexts.of({**EVENT_TAGS, **changes}, text=text, words=words_of("en"))


def boarding(**changes: object) -> Boarding:
    return Boarding.of({**BOARDING_TAGS, **changes}, text=text, words=words_of("en"))


def test_event_has_its_name_place_and_seat() -> None:
    shown = event(seats=[{"seatSection": "A", "seatRow": "12", "seatNumber": "7"}], performerNames=["Ada"])
    assert (shown.title, shown.subtitle) == ("The Analytical Engines", "Ada")
    assert list(shown.venue) == ["Old Town Hall", "Great Hall", "London"]
    assert [(field.label, field.pieces[0].text) for field in shown.seats] == [
        ("Section", "A"),
        ("Row", "12"),
        ("Seat", "7"),
    ]


def test_game_is_named_by_its_teams() -> None:
    teams = {"awayTeamAbbreviation": "AWY", "homeTeamAbbreviation": "HOM"}
    shown = event(eventType="PKEventTypeSports", **teams)
    assert shown.title.split() == ["AWY", "\u2013", "HOM"]
    assert shown.subtitle == "The Analytical Engines"


def test_date_of_an_event_may_be_unknown() -> None:
    assert event(eventStartDateInfo={"unannounced": True}).when.pieces[0].text == "To be announced"
    assert event(eventStartDateInfo={"undetermined": True}).when.pieces[0].text == "To be determined"
    info = {"date": "2026-12-24T18:30:00Z", "ignoreTimeComponents": True, "timeZone": "Europe/London"}
    shown = event(eventStartDateInfo=info).when.formatted
    assert shown is not None
    assert shown.options == {"date": "medium", "zone": "Europe/London"}


def test_flight_shows_both_ends_in_their_own_time() -> None:
    shown = boarding(departureTerminal="2", currentDepartureDate="2026-12-24T19:00:00Z")
    departure, destination = shown.ends
    assert departure[:3] == ("SFO", "San Francisco", "Terminal 2")
    assert destination[:3] == ("JFK", "New York", "")
    assert departure[3].formatted is not None
    assert departure[3].formatted.value == "2026-12-24T19:00:00Z"
    assert departure[3].formatted.options == {"time": "short", "zone": "America/Los_Angeles"}
    assert shown.airline == "PW 104"
    assert shown.passenger[0].pieces[0].text == "Ada Lovelace"


def test_flight_shows_gate_else_status() -> None:
    assert boarding(departureGate="B22", transitStatus="Delayed").header[0].pieces[0].text == "B22"
    assert boarding(transitStatus="Delayed").header[0].pieces[0].text == "Delayed"
    assert boarding().header == []


def test_tags_of_wrong_types_are_left_out() -> None:
    wrong = {"seats": "none", "passengerName": 7, "performerNames": 1, "eventStartDateInfo": [], "venueName": {}}
    programs = {"passengerEligibleSecurityPrograms": "all"}
    assert list(event(**wrong).venue) == ["Great Hall", "London"]
    assert boarding(**wrong, **programs).passenger[0].pieces[0].text == ""
