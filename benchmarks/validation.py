"""`make bench-validation`: CPU that the push function spends on a change with and without Apple's format being checked.

A change is a stream record with the old and the new item. It is read, compared and validated by building its pass.json,
as `flows/change.py` does; reads and writes of AWS, which take most of the time, are left out. Without the check, only
the build remains. Rounds are interleaved, so that other load on the machine affects both alike.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from rich.console import Console
from rich.table import Table

from chalicelib.aws.templates import Templates
from chalicelib.http.events import stream_records
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import validate, validate_rendering
from chalicelib.passes.template import Template
from chalicelib.updates.changes import PassChange, read_batch

MAX_RATIO = 1.15
GARBAGE_COLLECTION_THRESHOLD = 200_000
"""As in app.py, which sets it for the functions."""
REPORT = Path(__file__).parents[1] / ".passwire" / "bench" / "validation.json"
Fields = dict[str, Any]
BOARDING: Fields = {
    "gate": "B22",
    "seat": "14C",
    "boarding": "2026-12-24T17:50:00+01:00",
    "passenger": "Ada Lovelace",
    "flight": "AC 42",
}
FLIGHT = {
    "relevantDates": [{"startDate": "2026-12-24T16:00:00Z", "endDate": "2026-12-24T19:00:00Z"}],
    "expirationDate": "2026-12-25T00:00:00Z",
    "barcodes": [{"format": "PKBarcodeFormatAztec", "message": "M1LOVELACE/ADA", "messageEncoding": "iso-8859-1"}],
    "locations": [{"latitude": 48, "longitude": 11, "relevantText": "Munich"}],
    "semantics": {
        "airlineCode": "AC",
        "flightNumber": 42,
        "departureAirportCode": "MUC",
        "departureGate": "B22",
        "destinationAirportCode": "JFK",
        "originalDepartureDate": "2026-12-24T18:30:00+01:00",
        "passengerName": {"givenName": "Ada", "familyName": "Lovelace"},
        "seats": [{"seatNumber": "14C", "seatRow": "14"}],
    },
}
ITEMS: dict[str, dict[str, Any]] = {
    "one field": {"fields": {"gate": "B22"}},
    "five fields": {"fields": BOARDING},
    "a field as a map": {"fields": {"gate": {"value": "B22", "label": "GATE", "changeMessage": "Gate %@"}}},
    "five fields and a flight": {"fields": BOARDING, "overrides": FLIGHT},
}
"""New items of the changes; the old ones differ from them by the gate."""

console = Console()


def event_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the stream event of a change to an item with these attributes, as Lambda receives it."""
    key = {"pass_id": "pass.com.acme.boarding/7K2M9Q", "template": "boarding"}
    new = {**key, **attributes}
    old = {**new, "fields": {**attributes["fields"], "gate": "A1"}}
    to_dynamodb = TypeSerializer().serialize
    images = {name: {key: to_dynamodb(value) for key, value in item.items()} for name, item in (("o", old), ("n", new))}
    change = {
        "Keys": {"pass_id": {"S": key["pass_id"]}},
        "OldImage": images["o"],
        "NewImage": images["n"],
        "SequenceNumber": "1",
        "ApproximateCreationDateTime": 1_782_000_000.0,
    }
    return dict(json.loads(json.dumps({"Records": [{"dynamodb": change}]})))


def handle(event: dict[str, Any], template: Template, check: Callable[[Template, PassItem], object]) -> None:
    """Read a change and validate its item."""
    (entry,) = read_batch(stream_records(event)).entries
    assert isinstance(entry, PassChange)
    assert entry.item is not None
    check(template, entry.item)


def measure(event: dict[str, Any], template: Template, rounds: int, changes: int) -> tuple[float, float, float]:
    """Measure in interleaved rounds; returns CPU microseconds per change without and with the check, and their ratio.

    Each figure is that of the fastest round: other load only ever makes a round slower.
    """
    seconds: dict[Callable[[Template, PassItem], object], list[float]] = {validate_rendering: [], validate: []}
    for _ in range(rounds):
        for check, measured in seconds.items():
            started = time.process_time()
            for _ in range(changes):
                handle(event, template, check)
            measured.append((time.process_time() - started) / changes * 1e6)
    without, with_ = map(min, seconds.values())
    return without, with_, with_ / without


def main() -> None:
    """Measure, print, write the report; exit code 1 if the check costs more than `MAX_RATIO` allows for all changes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    gc.set_threshold(GARBAGE_COLLECTION_THRESHOLD)
    parser.add_argument("--changes", type=int, default=50, help="changes per round")
    options = parser.parse_args()
    template = Templates().get("boarding")
    table = Table("CPU per change", "without the check", "with it", "ratio", box=None)
    report: dict[str, dict[str, float]] = {}
    for name, attributes in ITEMS.items():
        without, with_, ratio = measure(event_of(attributes), template, options.rounds, options.changes)
        report[name] = {"without_us": without, "with_us": with_, "ratio": ratio}
        table.add_row(name, f"{without:.1f} us", f"{with_:.1f} us", f"{ratio:.3f}")
    rows = list(report.values())
    total = sum(row["with_us"] for row in rows) / sum(row["without_us"] for row in rows)
    table.add_row("all of them", "", "", f"{total:.3f}")
    console.print(table)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2))
    if total > MAX_RATIO:
        sys.exit(f"the check costs more than {MAX_RATIO - 1:.0%} of the rest of a change")


if __name__ == "__main__":
    main()
