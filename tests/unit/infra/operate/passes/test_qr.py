"""Tests of QR codes in the terminal: a scanner reads them in every theme."""

import re
from io import StringIO

import pytest
import zxingcpp
from rich.console import Console

from infra.operate.passes.qr import terminal_qr
from tests.support.qr import read_qr

MESSAGE = "https://abc123.execute-api.eu-central-1.amazonaws.com/api/p/" + "Ab1-_" * 36


@pytest.mark.parametrize("dark", [False, True])
def test_code_is_read_without_colors_in_light_and_dark_themes(dark: bool) -> None:  # noqa: FBT001 - a parameter
    read = read_qr([line.plain for line in terminal_qr(MESSAGE)], dark=dark)
    assert read is not None
    assert read.text == MESSAGE
    assert read.format == zxingcpp.BarcodeFormat.QRCode


def test_message_of_a_download_link_fits_into_80_columns() -> None:
    lines = terminal_qr(MESSAGE)
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= 80


def test_each_character_sets_both_of_its_colors() -> None:
    lines = terminal_qr(MESSAGE)
    output = StringIO()
    console = Console(file=output, force_terminal=True, color_system="truecolor", width=200)
    for line in lines:
        console.print(line, soft_wrap=True)
    for printed in output.getvalue().splitlines():
        cells = re.findall(r"\x1b\[38;2;0;0;0;48;2;(255;255;255|0;0;0)m([ ▀▄█]+)\x1b\[0m", printed)
        assert sum(len(text) for _, text in cells) == len(lines[0])
        assert all((background == "0;0;0") is (set(text) == {"█"}) for background, text in cells)


def test_same_message_gives_the_same_code() -> None:
    assert [line.plain for line in terminal_qr("x")] == [line.plain for line in terminal_qr("x")]
