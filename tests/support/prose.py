"""Finds phrases to avoid in docstrings, comments, texts and pages, and says what to write instead.

`python -m tests.support.prose [PATH...]` prints `file:line: found -> instead`, and ends with 1 if it finds any.
The rules are one list, below. Python code that must keep a phrase ends its line with the comment `# prose: REASON`.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SCOPE = ("app.py", "chalicelib", "infra", "tests", "benchmarks", "docs", "README.md", "CONTRIBUTING.md", "SECURITY.md")
LEFT_OUT = ("tests/support/prose.py", "tests/unit/test_prose.py", "docs/reference/cli.md", "docs/reference/settings.md")
"""The list itself, its tests, and pages that are generated from what is checked where it is written."""
KEPT = "# prose: "

COUNTED = "once|time|push|pushes|request|line|entry|entries|row|change|value|call|message|read|write|unit"
NUMBER = r"\d+(?:[,.]\d+)*"
RATED = "batch|second|minute|hour|call|pass|device|phone|stage|function|type|line|event|page|shard|sandbox"
"""For 'a' as a rate: one push a batch, 200 a second."""
RULES: tuple[tuple[str, str], ...] = (
    # phrase (a regular expression without case, where a space is any white space), what to write instead
    (
        r"\bis (?-i:none)\b|\b(?:that )?are none\b|(?<!there\s)\bis no (?!longer\b|more\b)\w+",
        "'invalid X', 'not a valid X'",
    ),
    (r"\bnone any more\b|\bno word that\b", "'no longer', 'does not mean'"),
    (r"\bnobody\b|\bno one\b", "'no device', 'no person'"),
    (r"\bwhoever\b|\bwhom\b|\bwhat there is\b", "'the caller', 'anyone who', or the noun"),
    (r"\btold\b(?! apart)|\btells? (?:phones|devices|it|them)\b", "'notified', 'reported'"),
    (r"\bwak(?:e|es|ing)\b|\bwoken\b|\bwoke\b", "'notify', 'push to'"),
    (r"\b(?:is|are) gone\b", "'unregistered', 'deleted'"),
    (r"\bmend(?:s|ed|ing)?\b", "'fix'"),
    (r"\banew\b", "'again'"),
    (r"\bfor ever\b", "'permanently'"),
    (r"\bgo(?:es)? on\b", "'continue'"),
    (r"\bstands?\b(?!-| (?:in for|alone|out)\b)", "'is', 'contains'"),
    (r"\blies? (?:in|there|here|on|at|where)\b", "'is'"),
    (r"\bis said\b|\bsaid of\b|\bsays of\b", "'reports', 'describes'"),
    (r"\blikewise\b", "say it again"),
    (rf"\b(?:a|one|two|{NUMBER}) (?:{COUNTED})s? (?-i:an?) (?:{RATED})\b|\b{NUMBER} (?-i:an?) (?:{RATED})\b", "'per'"),
    (r"\bafresh\b|\bby now\b", "'again', 'already', or nothing"),
    (r"\bsomebody\b", "'a person', 'a caller'"),
    (r"\bof yours\b", "'your own'"),
    (r"\bcame of (?:it|them)\b|\bcomes to what\b", "'the result'"),
    (r"\bthe same of\b", "'the same for'"),
    (r"\bput(?:s|ting)? off\b", "'deferred'"),
    (r"\bunder way\b", "'in progress'"),
    (r"\bwithout a word\b", "say what is missing"),
    (r"\bin vain\b|\bhence\b|\bthereof\b|\btherein\b|\bwherein\b|\bthus\b|\bas yet\b", "plain words"),
    (r"\bof (?:our|its|their|one's) own making\b|\bof one's own\b|\bof ours\b", "'own'"),
    (r"\bis for (?:\w+ ){1,3}to (?:say|decide|find out|know)\b", "subject and verb: 'X decides'"),
    (r"\b(?:proven?|held?) against\b", "'validated against', 'compared with'"),
    (r"(?<!--no-)\bsandbox(?:es)?\b", "'execution environment'"),
    (r"\blocal stack\b", "'local run'"),
    (r"\bsimulator\b", "'stand-in for APNs'"),
    (r"\b(?:push|these|whose|more|of) orders\b|\borders (?:for|of|that|devices)\b|\ban order\b", "'push task'"),
    (r"\bdrain(?:s|ed|ing)?\b", "'push worker', 'empty'"),
    (r"\b(?:issuer|it|they) ha(?:s|ve) been told\b", "promise only what is done: 'it is logged'"),
)
OPENINGS = re.compile(r"^(What|Whether|Of|Likewise|Whose|Whom)\b")
"""First words of a docstring that make it a clause without a verb."""
COMPILED = tuple((re.compile(pattern.replace(" ", " +"), re.IGNORECASE), instead) for pattern, instead in RULES)
OPENING_INSTEAD = "begin with a verb or a noun phrase"


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase to avoid, where it is (path relative to the project, line from 1), and what to write instead."""

    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r} -> {self.instead}"


def check_text(path: str, text: str, *, first_line: int = 1) -> Iterator[Phrase]:
    """Find phrases in prose, also those that are broken over lines; code in backticks is left out."""
    without_code = re.sub(r"`[^`\n]*`", lambda code: "`" * len(code[0]), text)
    flat = re.sub(r"\s|#", " ", without_code)
    for pattern, instead in COMPILED:
        for match in pattern.finditer(flat):
            yield Phrase(path, first_line + text.count("\n", 0, match.start()), " ".join(match[0].split()), instead)


def check_python(path: str, source: str) -> Iterator[Phrase]:
    """Find phrases in comments, string literals and names of tests, and clauses that open docstrings."""
    kept = {number for number, line in enumerate(source.split("\n"), 1) if KEPT in line}
    opens_statement = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string.startswith("test_"):
            words = token.string.replace("stand_in", "stand-in").replace("_", " ")
            yield from (
                phrase for phrase in check_text(path, words, first_line=token.start[0]) if phrase.line not in kept
            )
        if token.type in (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            found = list(check_text(path, token.string, first_line=token.start[0]))
            if opens_statement and token.type == tokenize.STRING and token.string.startswith('"""'):
                opening = OPENINGS.match(token.string[3:].lstrip())
                found += [Phrase(path, token.start[0], opening[0], OPENING_INSTEAD)] if opening else []
            yield from (phrase for phrase in found if phrase.line not in kept)
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            opens_statement = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


def check_page(path: str, text: str) -> Iterator[Phrase]:
    """Find phrases in a Markdown page, outside of its code blocks."""
    without_code = re.sub(
        r"^```.*?^```$", lambda code: "\n" * code[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL
    )
    yield from check_text(path, without_code)


def check(names: Iterable[str] = SCOPE) -> list[Phrase]:
    """Check files, and the Python and Markdown files below folders.

    Args:
        names: paths relative to the project.
    """
    found: list[Phrase] = []
    for path in sorted({file for name in names for file in _files(PROJECT / name)}):
        relative = path.relative_to(PROJECT).as_posix()
        if relative not in LEFT_OUT:
            checker = check_python if path.suffix == ".py" else check_page
            found += checker(relative, path.read_text())
    return found


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from (file for file in path.rglob("*") if file.suffix in (".py", ".md"))


def main(*names: str) -> int:
    """Print what was found; 1 if there is any, else 0."""
    found = check(names or SCOPE)
    sys.stdout.writelines(f"{phrase}\n" for phrase in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
