"""Tests that the check of Apple's format adds few calls to a change (`make bench-validation` measures its time)."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from benchmarks.validation import ITEMS, MAX_RATIO, event_of, handle
from chalicelib.aws.templates import Templates
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import validate, validate_rendering
from chalicelib.passes.template import Template

BOARDING = Templates().get("boarding")


def calls(name: str, check: Callable[[Template, PassItem], object]) -> int:
    """Count the calls of Python's and of C's functions in a change."""
    event, count = event_of(ITEMS[name]), 0

    def profile(_frame: FrameType, kind: str, _argument: object) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    handle(event, BOARDING, check)
    sys.setprofile(profile)
    try:
        handle(event, BOARDING, check)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", ITEMS)
def test_check_of_the_format_adds_few_calls_to_a_change(name: str) -> None:
    assert calls(name, validate) <= MAX_RATIO * calls(name, validate_rendering)
