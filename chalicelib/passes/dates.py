"""Dates in pass.json: W3C, "Date and Time Formats", to the minute or second, with a time zone.

Phones reject a whole pass for a date with a fraction of a second.
"""

import re
from datetime import datetime
from functools import lru_cache

from chalicelib.core.errors import excerpt

PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$"
PATTERN_WITH_FRACTION = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$"
_W3C_DATE = re.compile(PATTERN, re.ASCII)
_WITH_FRACTION = re.compile(PATTERN_WITH_FRACTION, re.ASCII)


EXPECTED = "must be a date such as 2026-12-24T18:30:00+01:00, with a time zone and without fractions"


def is_w3c_date(value: object) -> bool:
    """Tell whether phones accept a value as a date."""
    return isinstance(value, str) and is_w3c_text(value)


@lru_cache(maxsize=256)  # the format's check and the rendering look at each date of an item
def is_w3c_text(text: str) -> bool:
    """Tell whether phones accept a text as a date."""
    return _W3C_DATE.fullmatch(text) is not None and parse_date(text) is not None


def is_w3c_date_with_fraction(value: object) -> bool:
    """Tell whether a value is a date, optionally with a fraction of a second as in Apple's samples of semantic tags."""
    return isinstance(value, str) and _WITH_FRACTION.fullmatch(value) is not None and parse_date(value) is not None


@lru_cache(maxsize=256)
def parse_date(text: str) -> datetime | None:
    """Return the moment of a text in the right form; None if the day, the time or the zone does not exist."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def date_problem(value: object) -> str:
    """Return the problem of a value that is not a date, with the form to write."""
    quoted = f"'{excerpt(value)}'" if isinstance(value, str) else excerpt(value)
    return f"{quoted} {EXPECTED}"


def is_date_key(key: str) -> bool:
    """Tell whether the value of a key is a date: all such keys of Apple are `date` or end in `Date`."""
    return key == "date" or key.endswith("Date")
