"""Faces that Wallet composes of semantic tags: poster event tickets and semantic boarding passes.

Apple documents which tags a face requires, not where each of them is; the order here is that of Apple's pictures in
"Creating a poster event pass using semantic tags" and "Creating an airline boarding pass using semantic tags".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.preview.values import FieldView, date_field, plain_field

_Text = Callable[[object], str]
_PROGRAMS = {
    "PKTransitSecurityProgramTSAPreCheck": "TSA PreCheck",
    "PKTransitSecurityProgramTSAPreCheckTouchlessID": "TSA PreCheck Touchless ID",
    "PKTransitSecurityProgramGlobalEntry": "Global Entry",
    "PKTransitSecurityProgramCLEAR": "CLEAR",
}


@dataclass(frozen=True, slots=True)
class TicketTexts:
    """Parts of a poster event ticket.

    Args:
        title: what happens: the teams of a game, else the event's name.
        subtitle: the performers, or the event's name under the teams.
        when: start of the event.
        venue: venue, room and region.
        seats: place of the first seat, the entrance and the kind of ticket.
    """

    title: str
    subtitle: str
    when: FieldView
    venue: Sequence[str]
    seats: Sequence[FieldView]

    @classmethod
    def of(cls, tags: Mapping[str, Any], *, text: _Text, words: Mapping[str, str]) -> Self:
        """Read the tags of a pass; missing ones and those of wrong types are left out."""
        name = text(tags.get("eventName"))
        teams = [text(tags.get(f"{side}TeamAbbreviation")) for side in ("away", "home")]
        is_game = tags.get("eventType") == "PKEventTypeSports" and all(teams)
        performers = tags.get("performerNames")
        cast = ", ".join(filter(None, map(text, performers))) if isinstance(performers, list) else ""
        return cls(
            title=" – ".join(teams) if is_game else name,  # noqa: RUF001 - between two teams
            subtitle=name if is_game else cast if cast != name else "",
            when=_start(tags, words),
            venue=[line for key in ("venueName", "venueRoom", "venueRegionName") if (line := text(tags.get(key)))],
            seats=list(_places(tags, text, words)),
        )


@dataclass(frozen=True, slots=True)
class Boarding:
    """Parts of a semantic boarding pass.

    Args:
        airline: the airline and the flight.
        header: gate, or the status of the flight.
        ends: departure and destination: code, city, terminal, and time there.
        passenger: the passenger and the status in a membership program.
        places: boarding time, group, zone, seat and class.
        notes: security programs and documents.
    """

    airline: str
    header: Sequence[FieldView]
    ends: Sequence[tuple[str, str, str, FieldView]]
    passenger: Sequence[FieldView]
    places: Sequence[FieldView]
    notes: Sequence[str]

    @classmethod
    def of(cls, tags: Mapping[str, Any], *, text: _Text, words: Mapping[str, str]) -> Self:
        """Read the tags of a pass; missing ones and those of wrong types are left out."""
        number = f"{text(tags.get('airlineCode'))} {text(tags.get('flightNumber'))}".strip()
        provider = text(tags.get("transitProvider"))
        gate = text(tags.get("departureGate"))
        status = text(tags.get("transitStatus"))
        header = [plain_field(words["gate"], gate)] if gate else [plain_field("", status)] if status else []
        programs = tags.get("passengerEligibleSecurityPrograms")
        notes = [_PROGRAMS[name] for name in programs if name in _PROGRAMS] if isinstance(programs, list) else []
        return cls(
            airline=" · ".join(filter(None, (provider, number))),
            header=header,
            ends=[_end(tags, side, text, words) for side in ("departure", "destination")],
            passenger=list(_passenger(tags, text, words)),
            places=list(_boarding_places(tags, text, words)),
            notes=notes,
        )


def _start(tags: Mapping[str, Any], words: Mapping[str, str]) -> FieldView:
    info = tags.get("eventStartDateInfo")
    details: Mapping[str, Any] = info if isinstance(info, dict) else {}
    for key, word in (("unannounced", "announced"), ("undetermined", "decided")):
        if details.get(key) is True:
            return plain_field("", words[word])
    zone = details.get("timeZone")
    found = date_field(
        "",
        details.get("date") or tags.get("eventStartDate"),
        date="medium",
        time="" if details.get("ignoreTimeComponents") is True else "short",
        zone=zone if isinstance(zone, str) else "",
    )
    return found or plain_field("", "")


def _places(tags: Mapping[str, Any], text: _Text, words: Mapping[str, str]) -> Iterator[FieldView]:
    seat = _first(tags.get("seats"))
    entrance = next(
        (tags[key] for key in ("venueEntranceGate", "venueEntranceDoor", "venueEntrance") if tags.get(key)), None
    )
    for word, value in (
        ("section", seat.get("seatSection")),
        ("row", seat.get("seatRow")),
        ("seat", seat.get("seatNumber")),
        ("entrance", entrance),
        ("level", tags.get("admissionLevel")),
        ("attendee", tags.get("attendeeName")),
    ):
        if shown := text(value):
            yield plain_field(words[word], shown)


def _end(tags: Mapping[str, Any], side: str, text: _Text, words: Mapping[str, str]) -> tuple[str, str, str, FieldView]:
    moment, word = ("Departure", "departs") if side == "departure" else ("Arrival", "arrives")
    zone = tags.get(f"{side}LocationTimeZone") or tags.get(f"{side}AirportTimeZone")
    when = tags.get(f"current{moment}Date") or tags.get(f"original{moment}Date")
    terminal = text(tags.get(f"{side}Terminal"))
    return (
        text(tags.get(f"{side}AirportCode")),
        text(tags.get(f"{side}CityName")),
        f"{words['terminal']} {terminal}" if terminal else "",
        date_field(words[word], when, time="short", zone=zone if isinstance(zone, str) else "")
        or plain_field(words[word], ""),
    )


def _passenger(tags: Mapping[str, Any], text: _Text, words: Mapping[str, str]) -> Iterator[FieldView]:
    name = tags.get("passengerName")
    parts = (
        [text(name.get(key)) for key in ("namePrefix", "givenName", "middleName", "familyName", "nameSuffix")]
        if isinstance(name, dict)
        else []
    )
    yield plain_field(words["passenger"], " ".join(filter(None, parts)))
    program, status = text(tags.get("membershipProgramName")), text(tags.get("membershipProgramStatus"))
    if program or status:
        yield plain_field(program or status, status if program else "")


def _boarding_places(tags: Mapping[str, Any], text: _Text, words: Mapping[str, str]) -> Iterator[FieldView]:
    zone = tags.get("departureLocationTimeZone") or tags.get("departureAirportTimeZone")
    boards = date_field(
        words["boards"],
        tags.get("currentBoardingDate") or tags.get("originalBoardingDate"),
        time="short",
        zone=zone if isinstance(zone, str) else "",
    )
    if boards:
        yield boards
    seat = _first(tags.get("seats"))
    for word, value in (
        ("group", tags.get("boardingGroup")),
        ("zone", tags.get("boardingZone")),
        ("seat", seat.get("seatNumber") or seat.get("seatIdentifier")),
        ("class", tags.get("ticketFareClass") or seat.get("seatType")),
    ):
        if shown := text(value):
            yield plain_field(words[word], shown)


def _first(seats: object) -> Mapping[str, Any]:
    return seats[0] if isinstance(seats, list) and seats and isinstance(seats[0], dict) else {}
