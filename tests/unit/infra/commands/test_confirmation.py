"""Tests of the rule for confirmation."""

import io
import sys

import pytest
import typer

from infra.commands.confirmation import DeclinedError, confirm, confirm_notification, counted, require_answer
from tests.support.command_line import Keyboard


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", Keyboard(text))


def test_yes_agrees_without_asking_and_the_question_is_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    confirm("delete pass x?", yes=True)
    assert capsys.readouterr().err == "delete pass x? yes, by --yes\n"


def test_terminal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    types(monkeypatch, "y\n")
    confirm("delete pass x?", yes=False)
    types(monkeypatch, "n\n")
    with pytest.raises(DeclinedError, match="declined; nothing was deleted"):
        confirm("delete pass x?", yes=False, unchanged="nothing was deleted")


def test_end_of_input_at_the_question_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    types(monkeypatch, "")
    with pytest.raises(KeyboardInterrupt):
        confirm("delete pass x?", yes=False)


def test_without_a_terminal_the_question_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(typer.BadParameter, match="without one, add --yes"):
        confirm("delete pass x?", yes=False)
    assert "delete pass x?" in capsys.readouterr().err
    with pytest.raises(typer.BadParameter):
        require_answer(yes=False)
    require_answer(yes=True)


@pytest.mark.parametrize("devices", [0, 100, 101])
def test_more_than_100_devices_are_notified_only_after_a_question_with_the_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], devices: int
) -> None:
    types(monkeypatch, "n\n")
    if devices > 100:
        with pytest.raises(DeclinedError):
            confirm_notification("change pass x", devices=devices, yes=False)
        assert "change pass x and notify 101 devices?" in capsys.readouterr().err
    else:
        confirm_notification("change pass x", devices=devices, yes=False)
        with pytest.raises(DeclinedError):
            confirm_notification("change pass x", devices=devices, yes=False, always=True)


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "pass", "1 pass"),
        (0, "pass", "0 passes"),
        (2000, "device", "2,000 devices"),
        (2, "stream batch", "2 stream batches"),
    ],
)
def test_counted_things_are_in_the_plural(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text
