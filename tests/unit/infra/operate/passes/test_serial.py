"""Tests of generated serial numbers."""

from infra.operate.passes.serial import ALPHABET, LENGTH, new_serial_number


def test_serial_numbers_are_short_different_and_without_confusable_characters() -> None:
    numbers = {new_serial_number() for _ in range(1000)}
    assert len(numbers) == 1000
    assert all(len(number) == LENGTH and set(number) <= set(ALPHABET) for number in numbers)
    assert not set("0O1ILU") & set(ALPHABET)
