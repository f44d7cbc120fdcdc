"""Dates as pass.json takes them: W3C, "Date and Time Formats", to the minute or second, with a time zone.

Phones reject a whole pass for a fraction of a second.
"""

import re
from datetime import datetime

from chalicelib.core.errors import shown

_W3C_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)")


EXPECTED = "must be a date such as 2026-12-24T18:30:00+01:00, with a time zone and without fractions"


def is_w3c_date(value: object) -> bool:
    """Whether phones take it."""
    if not isinstance(value, str) or _W3C_DATE.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def not_a_date(value: object) -> str:
    """What to tell whoever wrote it."""
    quoted = f"'{shown(value)}'" if isinstance(value, str) else shown(value)
    return f"{quoted} {EXPECTED}"


def holds_date(key: str) -> bool:
    """Every key of Apple's that holds a date is `date` or ends in `Date`."""
    return key == "date" or key.endswith("Date")
