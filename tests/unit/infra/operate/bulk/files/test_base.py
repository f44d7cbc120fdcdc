"""Tests of refused rows without authentication tokens, and of what libraries raise while they read a file."""

from pathlib import Path

import pytest

from infra.operate.bulk.files.base import LEFT_OUT, FileError, Row, may_hold_token, readable, without_tokens


def row(text: str) -> Row:
    return Row(1, 2, text, {}, "is torn", 0)


def test_token_is_left_out_wherever_it_is() -> None:
    values = {
        "secret": "t0ken",
        "empty": None,
        "attributes": {"authentication_token": "t0ken", "list": [{"authentication_token": "t0ken"}, 1]},
        "text": 'torn {"authentication_token": "t0ken',
        "gate": "B22",
    }
    found = without_tokens(values, ["secret", "empty"])
    assert "t0ken" not in str(found)
    assert (found["secret"], found["empty"], found["gate"]) == (LEFT_OUT, None, "B22")
    assert found["attributes"] == {"authentication_token": LEFT_OUT, "list": [{"authentication_token": LEFT_OUT}, 1]}


def test_unread_row_may_hold_a_token_if_a_column_does_or_if_it_names_one() -> None:
    assert may_hold_token(row("1,2"), ["secret"])
    assert may_hold_token(row('{"authentication_token": "t'), [])
    assert not may_hold_token(row("1,2"), [])


@pytest.mark.parametrize("error", [ValueError("bad\n  page"), MemoryError(), RecursionError("deep")], ids=repr)
def test_any_error_of_a_library_is_one_of_the_file(error: Exception) -> None:
    with (
        pytest.raises(FileError, match=r"m\.parquet: is damaged \(\S") as raised,
        readable(Path("m.parquet"), "is damaged"),
    ):
        raise error
    assert "\n" not in str(raised.value)


def test_errors_of_the_file_and_interruptions_are_kept() -> None:
    with pytest.raises(FileError, match=r"^empty$"), readable(Path("m"), "is damaged"):
        raise FileError("empty")
    with pytest.raises(KeyboardInterrupt), readable(Path("m"), "is damaged"):
        raise KeyboardInterrupt
