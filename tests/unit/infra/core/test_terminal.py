"""Nothing that came from outside acts on the terminal: no escape sequence, no markup, no turned text."""

import json
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from chalicelib.core.errors import RefusedError
from infra.commands import main, report
from infra.commands.dialogue import Terminal
from infra.core.terminal import (
    PlainConsole,
    printable,
    printable_lines,
    styled,
    write_json,
    write_line,
    write_table,
    write_text,
    write_values,
)
from infra.operate.logs import LogLine
from tests.support.command_line import Keyboard

EVIL = "\x1b]0;title\x07\x1b[2J[red]red[/red]\x9b31m\u202egnp.exe\u2066 :warning: \r\x08\x7f\u2028end"
"""A window's title, a cleared screen, markup, a C1 sequence, turned text, an emoji's name, a line written over."""


def is_harmless(shown: str) -> bool:
    """True if a terminal shows the text character by character and does nothing else."""
    return not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown if c not in "\n\u200c\u200d"
    )


def holds_all(shown: str) -> bool:
    """True if the harmless characters of `EVIL` are unchanged and the others are escaped."""
    flat = shown.replace("\n", "")
    return all(
        part in flat for part in (r"\x1b]0;title\x07\x1b[2J[red]red[/red]\x9b31m\u202egnp.exe", ":warning:", "end")
    )


def test_characters_that_a_terminal_acts_on_are_shown_as_their_escapes() -> None:
    assert printable("a\x1b[2Jb\u202ec\nd\ud800e\x00") == r"a\x1b[2Jb\u202ec\nd\ud800e\x00"
    assert printable_lines("a\r\n\tb\x1b") == "a\\r\n\tb\\x1b"


@pytest.mark.parametrize(
    "text",
    [
        "Zo\u00eb",
        "10\u00a0\u20ac".replace("\u00a0", " "),
        "\u5317\u4eac",
        "\u0645\u0631\u062d\u0628\u0627",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\\x1b",
    ],
)
def test_text_of_every_script_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(st.text(st.characters()))
def test_whatever_a_text_holds_its_print_is_harmless_and_can_be_encoded(text: str) -> None:
    assert is_harmless(printable(text))
    assert "\n" not in printable(text)
    printable_lines(text).encode()


def test_lines_tables_and_status_take_strings_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console = PlainConsole()
    table = Table(EVIL, "b", title=EVIL)
    table.add_row(EVIL, styled(EVIL, "red", EVIL))
    for printed in (EVIL, styled("warning", "yellow", EVIL), table):
        console.print(printed)
        shown = capsys.readouterr().out
        assert is_harmless(shown), repr(shown)
        assert holds_all(shown), repr(shown)
    write_line(EVIL)
    write_text(EVIL)
    write_json({EVIL: [EVIL]}, indent=None)
    console.status(EVIL)
    assert is_harmless(capsys.readouterr().out)


def test_status_shows_markup_unchanged() -> None:
    status = PlainConsole().status("[red]x[/red]")
    assert str(status.renderable.text) == "[red]x[/red]"


@pytest.mark.parametrize(
    "text", [json.dumps({"event": "device_log", "message": EVIL}), EVIL, json.dumps({"event": EVIL, EVIL: 1})]
)
def test_a_line_of_the_logs_is_harmless(text: str) -> None:
    for shown in (LogLine(0, "api", text).readable, LogLine(0, EVIL, text).readable, LogLine(0, "api", text).as_json):
        assert is_harmless(shown)
    assert "[red]red[/red]" in LogLine(0, "api", text).readable


def test_lines_of_a_traceback_stay_lines() -> None:
    assert LogLine(0, "api", "Traceback:\n  File x\n\x1b[1mE").readable.splitlines()[1:] == ["  File x", r"\x1b[1mE"]


def test_an_error_is_harmless_whatever_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(RefusedError(f"{EVIL}\nsecond line")) == 1
    shown = capsys.readouterr().err
    assert is_harmless(shown)
    assert holds_all(shown)
    assert shown.endswith("\nsecond line\n")


def test_names_of_folders_and_faults_of_templates_are_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    invalid, valid = tmp_path / "a\x1b[2J[red].pass", tmp_path / "valid.pass"
    for folder in (invalid, valid):
        folder.mkdir()
        (folder / "pass.json").write_text(json.dumps({"x\x1b[2J[red]": 1}))
        (folder / "b\x1b]0;t\x07.png").write_bytes(b"x")
    monkeypatch.setattr("sys.argv", ["infra", "template", "check", str(invalid)])
    assert main() == 2
    of_name = capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["infra", "template", "check", str(valid)])
    with pytest.raises(SystemExit):
        main()
    of_content = capsys.readouterr()
    for captured in (of_name, of_content):
        assert is_harmless(captured.out + captured.err)
        assert r"\x1b[2J[red]" in (captured.out + captured.err).replace("\n", ""), "the length of the path breaks lines"


ROWS = [("pass.com.acme.boarding", "12", EVIL), ("p", "3", "x")]


def test_table_has_a_header_and_no_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(
        ("pass type", "devices", "note"), [("pass.com.acme", "1,200", "x"), ("p", "3", "")], numbers=("devices",)
    )
    assert capsys.readouterr().out == (
        "pass type      devices  note\npass.com.acme    1,200  x\np                    3\n"
    )


def test_narrow_terminal_gets_each_row_as_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    write_table(("pass type", "devices", "team"), [("pass.com.acme.boarding", "12", "ABCDE12345")])
    assert capsys.readouterr().out == "pass.com.acme.boarding\n  devices  12\n  team     ABCDE12345\n"


def test_cells_and_values_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("a", "b", "c"), ROWS)
    write_values([(EVIL, EVIL)])
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert shown.count(r"\x1b[2J[red]") == 3


def test_what_a_deployment_shows_and_asks_is_harmless(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard("n\n"))
    with Terminal(stage=EVIL, yes=False) as dialogue:
        dialogue.on_progress(EVIL)
        assert not dialogue.allows(f"take over {EVIL}?")
    shown = capsys.readouterr()
    assert is_harmless(shown.out + shown.err)
    assert holds_all(shown.err)
