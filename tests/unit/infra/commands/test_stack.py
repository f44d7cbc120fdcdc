"""Tests of the output of `diff`."""

import json

import pytest

from infra.commands.stack import write_changes
from infra.deploy.changes import ResourceChange

CHANGE = ResourceChange("Modify", "Api", "AWS::Lambda::Function", "False", ("Code", "Timeout"))


def test_changes_are_written_one_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_changes([CHANGE, CHANGE], as_json=False)
    assert capsys.readouterr().out == 2 * "Modify   Api (AWS::Lambda::Function): Code, Timeout\n"


def test_changes_are_written_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    write_changes([CHANGE], as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "action": "Modify",
        "logical_id": "Api",
        "resource_type": "AWS::Lambda::Function",
        "replacement": "False",
        "properties": ["Code", "Timeout"],
    }


def test_nothing_is_written_to_standard_output_without_changes(capsys: pytest.CaptureFixture[str]) -> None:
    write_changes([], as_json=False)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "nothing would change\n")
    write_changes([], as_json=True)
    assert capsys.readouterr().out == "[]\n"
