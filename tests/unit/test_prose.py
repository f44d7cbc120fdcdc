"""Tests of the check for phrases to avoid (`tests/support/prose.py`)."""

import pytest

from tests.support.prose import RULES, check_page, check_python


def found(source: str) -> list[tuple[int, str]]:
    return [(phrase.line, phrase.found) for phrase in check_python("a.py", source)]


@pytest.mark.parametrize(
    "text",
    [
        "the stage's name is none",
        "this is no\n    key",
        "devices are told",
        "wakes nobody",
        "one push a batch",
        "25 requests a second",
        "the item is gone",
        "mend it",
        "it stands in the table",
    ],
)
def test_phrase_is_found_in_docstring_comment_text_and_page(text: str) -> None:
    assert found(f'"""Does something.\n\n    {text}."""\n')
    assert found(f"x = 1  # {' '.join(text.split())}\n")
    assert found(f'x = f"""{text} {{x}}"""\n')
    assert list(check_page("a.md", f"# A\n\n{text}\n"))


@pytest.mark.parametrize(
    "text",
    [
        "once a day",
        "There is no index",
        "cannot be told apart",
        "a stand-in for APNs",
        "is no longer registered",
        "`receives_push` is a name",
        "Change a pass",
        "returns None if the version is None",
    ],
)
def test_plain_text_is_accepted(text: str) -> None:
    assert found(f'"""{text}."""\n') == []
    assert list(check_page("a.md", text)) == []


def test_docstring_that_begins_with_a_clause_is_found() -> None:
    assert found('def f():\n    """What is done."""\n') == [(2, "What")]
    assert found('def f():\n    """Does it."""\n') == []
    assert found('x = g("""What is done?""")\n') == []


def test_line_of_a_phrase_is_reported() -> None:
    assert found('"""Does it.\n\nThen it is\nnone.\n"""\n') == [(3, "is none")]


def test_names_of_tests_are_checked() -> None:
    assert found("def test_a_push_wakes_nobody(): ...\n") == [(1, "nobody"), (1, "wakes")]
    assert found("def test_stand_in_notifies_a_device(): ...\n") == []


def test_reason_behind_a_line_keeps_a_phrase() -> None:
    assert found('x = "a push wakes it"  # prose: quoted from Apple\n') == []


def test_code_blocks_of_a_page_are_left_out() -> None:
    assert list(check_page("a.md", "```sh\nwake nobody\n```\n")) == []


def test_every_rule_says_what_to_write_instead() -> None:
    assert all(instead for _, instead in RULES)
