"""Range of DynamoDB's numbers (AWS, "Supported data types and naming rules in Amazon DynamoDB", Number).

A number is checked before anything is computed with it: `int` alone would take minutes for `1e10000000`. Text must
follow JSON's grammar (RFC 8259, section 6), so forms that only Python accepts are refused: `1_000`, `NaN`, digits of
other scripts.
"""

import re
from decimal import Decimal

MAX_DIGITS = 38
MIN_EXPONENT, MAX_EXPONENT = -130, 125
"""Exponents of the first digit: the smallest number is 1e-130, the largest is just under 1e126."""
MAX_SHOWN = 40
"""Characters of a refused number that a message quotes."""
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?")
_MAX_EXPONENT_DIGITS = 9
"""An exponent with more digits is out of range, however many digits precede it in a line of a file."""
_SAFE_BITS, _MAX_BITS = 126, 419
"""Integers of up to the first number of bits have at most 38 digits; those of more than the second are out of range."""


class NumberError(ValueError):
    """A text is not a number, or a number is out of DynamoDB's range; the message quotes its beginning."""


def parse_number(text: str) -> Decimal:
    """Read a number exactly. Zero has no sign, as in DynamoDB's responses.

    Raises:
        NumberError: the text is not a number in JSON's form, has more than 38 digits, or is out of range.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise NumberError(f"{_shown(text)} is not a number; write it as JSON does, such as -12.5 or 1e3")
    sign, whole, fraction, exponent_sign, exponent = found.groups(default="")
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return Decimal(0)
    shift = exponent.lstrip("0")
    if len(shift) > _MAX_EXPONENT_DIGITS:
        raise _out_of_range(text)
    power = int(exponent_sign + (shift or "0")) - len(fraction)
    _check(text, digits=len(significant), first=power + len(digits) - 1)
    return Decimal((int(sign == "-"), tuple(map(int, significant)), power + len(digits) - len(significant)))


def check_number(value: Decimal | float) -> None:
    """Validate a number that was read elsewhere.

    Raises:
        NumberError: it has more than 38 digits, is out of range, infinite, or not a number (NaN).
    """
    if isinstance(value, float):
        parse_number(repr(value))
    elif isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise NumberError(f"a whole number of {value.bit_length()} bits is out of DynamoDB's range, under 1e126")
        if value.bit_length() > _SAFE_BITS:
            parse_number(str(value))
    elif not value.is_finite():
        raise NumberError(f"{value} is not a number in JSON or DynamoDB")
    elif value:
        digits = bytes(value.as_tuple().digits).rstrip(b"\0")
        _check(value, digits=len(digits), first=value.adjusted())


def _check(given: Decimal | str, *, digits: int, first: int) -> None:
    """Validate a number against DynamoDB's limits.

    Args:
        given: the number, for the message.
        digits: number of digits from the first to the last that is not 0.
        first: power of ten of the first digit.
    """
    if digits > MAX_DIGITS:
        raise NumberError(f"{_shown(str(given))} has {digits} digits; DynamoDB stores at most {MAX_DIGITS}")
    if not MIN_EXPONENT <= first <= MAX_EXPONENT:
        raise _out_of_range(str(given))


def _out_of_range(text: str) -> NumberError:
    return NumberError(f"{_shown(text)} is out of DynamoDB's range, from 1e-130 to just under 1e126")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]!r}..."
