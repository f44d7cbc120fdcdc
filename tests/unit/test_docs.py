"""The documentation is complete and true: everything that has a name has its place, links lead somewhere, generated
pages are current, and the command lines that are shown exist.

Names are taken from the code, so a new command, setting, log event, metric or alarm fails here until it is documented.
"""

import ast
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup

from infra.commands.lazy import GLOBAL_OPTIONS
from infra.deploy.descriptions import DESCRIPTIONS
from infra.deploy.monitoring import ALARMS
from infra.deploy.resources import resources
from infra.local.apns.values import Faults
from infra.local.run import LocalRun
from tests.support.reference import MODULE, PAGES, command_tree
from tests.support.release_notes import release_notes

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGE_NAMES = sorted([*TOP, *(path.relative_to(PROJECT).as_posix() for path in DOCS.rglob("*.md"))])
HISTORY = "CHANGELOG.md"
"""Names what no longer exists, on purpose."""
README_BYTES = 6 * 1024
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FOREIGN = ("http://", "https://", "mailto:")
PATH_IN_BACKTICKS = re.compile(r"`((?:chalicelib|infra|tests|benchmarks|docs|\.chalice)/[\w./@-]+?)(?:\s[^`]*)?`")
MADE_LATER = ("docs/reference", ".chalice/prepared", ".chalice/deployed")
THIS_MACHINE = re.compile(r"/(?:work|root|home|tmp)/|passwire\+")


def text_of(name: str) -> str:
    return (PROJECT / name).read_text()


def prose_of(name: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text_of(name))


def anchors(name: str) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose_of(name), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = next(n for n in range(len(found) + 1) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def rows(name: str) -> set[str]:
    """The names in backticks with which the rows of a page's tables begin."""
    firsts = re.findall(r"^\| (.+?) \|", text_of(name), re.MULTILINE)
    return {found for first in firsts for found in re.findall(r"`([^`]+)`", first)}


def sources(*roots: str) -> Iterator[ast.AST]:
    """Every node of the modules below some folders, and of app.py."""
    paths = [PROJECT / "app.py", *(path for root in roots for path in sorted((PROJECT / root).rglob("*.py")))]
    for path in paths:
        yield from ast.walk(ast.parse(path.read_text()))


def called(node: ast.AST, *names: str) -> ast.Call | None:
    """The node as a call of a function or method of one of these names."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
        return node
    return None


def texts(node: ast.expr | None) -> list[str]:
    """A literal text, or the literal keys of a dictionary."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Dict):
        return [text for key in node.keys for text in texts(key)]
    return []


def log_events() -> set[str]:
    """Every event that the service logs."""
    found: set[str] = set()
    for node in sources("chalicelib"):
        call = called(node, "event")
        if call and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            found |= set(texts(call.args[0]) if call.func.value.id == "log" else [])
    return found


def metric_names() -> set[str]:
    """Every metric that the service writes."""
    found: set[str] = set()
    for node in sources("chalicelib"):
        call = called(node, "count", "put", "duration")
        owner = call.func.value if call and isinstance(call.func, ast.Attribute) else None
        name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
        if call and name == "metrics":
            found |= set(texts(call.args[0]))
    return found


def command_lines() -> list[tuple[str, str]]:
    """Every `passwire` command line of a code block, with its page."""
    found: list[tuple[str, str]] = []
    for name in PAGE_NAMES:
        for language, block in FENCE.findall(text_of(name)):
            joined = block.replace("\\\n", " ")
            if language == "sh":
                lines = re.findall(r"^(?:\$ )?passwire .+$", joined, re.MULTILINE)
                found += [(name, line.removeprefix("$ ")) for line in lines]
        for line in re.findall(r"`passwire ([^`]+)`", prose_of(name)):
            found.append((name, f"passwire {' '.join(line.split())}"))
    return found


def command_of(arguments: list[str], tree: Mapping[str, TyperCommand | TyperGroup]) -> str | None:
    """The command that arguments name; None where they name a group of commands, or nothing."""
    for length in (3, 2, 1):
        name = " ".join(arguments[:length])
        if name in tree:
            return name
    return None


def test_readme_is_short() -> None:
    assert len((PROJECT / "README.md").read_bytes()) <= README_BYTES


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: make docs"


def test_every_command_has_its_heading() -> None:
    assert {name.replace(" ", "-") for name in command_tree()} - anchors("docs/reference/cli.md") == set()


def test_every_parameter_of_the_template_has_a_description() -> None:
    assert set(DESCRIPTIONS) == set(resources()["Parameters"])


def test_every_parameter_and_environment_variable_has_its_row() -> None:
    template = resources()
    names = {*template["Parameters"], *template["Globals"]["Function"]["Environment"]["Variables"]}
    assert names <= rows("docs/reference/settings.md")


def test_every_log_event_has_its_heading() -> None:
    headings = set(re.findall(r"^### (\w+)$", text_of("docs/reference/log-events.md"), re.MULTILINE))
    assert headings == log_events()


def test_every_metric_has_its_row() -> None:
    assert metric_names() <= rows("docs/operations/monitoring.md")


def test_every_alarm_has_its_section_in_the_runbook() -> None:
    headings = set(re.findall(r"^## (\w+)$", text_of("docs/operations/runbook.md"), re.MULTILINE))
    assert headings == {alarm.name for alarm in ALARMS}


def test_every_key_of_local_json_and_every_fault_has_its_row() -> None:
    names = {field.name for field in fields(LocalRun)} | {field.name for field in fields(Faults)}
    assert names <= rows("docs/reference/local-run.md")


def leads_somewhere(page: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (PROJECT / page).parent / path if path else PROJECT / page
    linked = Path(os.path.normpath(file)).relative_to(PROJECT).as_posix()
    return file.exists() and (not anchor or anchor in anchors(linked))


def test_links_lead_to_files_and_headings() -> None:
    targets = [(page, target) for page in PAGE_NAMES for target in LINK.findall(prose_of(page))]
    own = [each for each in targets if not each[1].startswith(FOREIGN)]
    assert [each for each in own if not leads_somewhere(*each)] == []


def test_every_page_is_in_the_index() -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(text_of("docs/index.md"))]
    linked = {(DOCS / target).resolve() for target in targets}
    decisions = {(DOCS / "decisions" / target).resolve() for target in LINK.findall(text_of("docs/decisions/index.md"))}
    pages = {path.resolve() for path in DOCS.rglob("*.md")} - {(DOCS / "index.md").resolve()}
    assert pages - linked - decisions == set()


def test_paths_in_pages_exist() -> None:
    pages = [page for page in PAGE_NAMES if page != HISTORY]
    paths = [(page, path) for page in pages for path in PATH_IN_BACKTICKS.findall(prose_of(page))]
    lasting = [each for each in paths if not each[1].startswith(MADE_LATER) and "*" not in each[1]]
    assert [each for each in lasting if not (PROJECT / each[1]).exists()] == []


def test_no_page_names_a_folder_of_one_machine() -> None:
    assert [page for page in PAGE_NAMES if THIS_MACHINE.search(text_of(page))] == []


def is_known(line: str, tree: Mapping[str, TyperCommand | TyperGroup]) -> bool:
    """Tell whether the command of a line exists, with each of the line's options."""
    arguments = shlex.split(line, comments=True)[1:]
    name = command_of(arguments, tree)
    if name is None:
        groups = {command.partition(" ")[0] for command in tree}
        return arguments[0] in groups | {"--help", "--version", "--install-completion"}
    known = {option for parameter in tree[name].params for option in parameter.opts} | {*GLOBAL_OPTIONS, "--help"}
    return {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} <= known


def test_command_lines_that_are_shown_exist() -> None:
    tree, lines = command_tree(), command_lines()
    assert len(lines) > len(tree)
    assert [(page, line) for page, line in lines if not is_known(line, tree)] == []


def test_only_one_name_of_the_command_is_shown() -> None:
    """The pages call it `passwire`; the other name is explained once."""
    naming = [name for name in PAGE_NAMES if MODULE in text_of(name)]
    assert naming == ["CHANGELOG.md", "docs/reference/cli.md"]


def test_make_targets_that_are_shown_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    line = re.compile(r"(?:`|^)make (?:PYTHON=\S+ )?([a-z-]+)\b(?!\.\.\.)(?=[` \n])", re.MULTILINE)
    shown = [(page, target) for page in PAGE_NAMES for target in line.findall(text_of(page))]
    assert [each for each in shown if each[1] not in targets and not each[1].endswith("-")] == []


def test_release_notes_are_the_section_of_the_version() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n- c\n\n## [0.2.0] - 2027-01-01\n\n- b\n\n## [0.1.0] - 2026-11-26\n\n- a\n"
    )
    assert release_notes(changelog, "0.2.0") == "- b"
    with pytest.raises(LookupError, match=r"0\.3\.0"):
        release_notes(changelog, "0.3.0")
    assert "### Upgrade notes" in release_notes(text_of(HISTORY), "0.1.0")
