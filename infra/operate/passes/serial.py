"""New serial numbers: short, unique, and readable aloud."""

import secrets

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without what is taken for something else: 0 and O, 1 and I and L, U for V."""
LENGTH = 12
"""59 bits: beside a billion passes of its type, one in half a billion is taken; then nothing is written."""


def new_serial_number() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
