"""Generates serial numbers that are short, unique and easy to read aloud."""

import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Letters and digits without those that are easily confused: 0 and O, 1 and I and L, U and V."""
LENGTH = 12
"""59 bits: with a billion passes of a type, a new serial number exists with a probability of one in half a billion.
In that case `pass issue` writes nothing.
"""


def new_serial_number() -> str:
    """Return a random serial number."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
