"""Findings of the template check: location, problem and remedy."""

from dataclasses import dataclass

from chalicelib.passes.format.findings import Level


@dataclass(frozen=True, slots=True)
class TemplateFinding:
    """One problem of a template.

    Args:
        level: an error prevents the template from being stored.
        file: path within the folder; empty for the whole folder.
        path: path within a JSON file, such as `generic.backFields[0].value`; empty for the whole file.
        problem: what is wrong and what to do, in a sentence.
        source: the page or tool that the rule comes from; may be empty.
    """

    level: Level
    file: str
    path: str
    problem: str
    source: str = ""

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.file, self.path, self.problem) if part)
        return f"{text} ({self.source})" if self.source else text


def error(file: str, path: str, problem: str, source: str = "") -> TemplateFinding:
    return TemplateFinding(Level.ERROR, file, path, problem, source)


def warning(file: str, path: str, problem: str, source: str = "") -> TemplateFinding:
    return TemplateFinding(Level.WARNING, file, path, problem, source)
