"""Checks a template before it is stored for everything that would make phones refuse its passes or show them wrong.

The check runs in the command line and in tests; a download trusts the stored template.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.passes.format import findings as format_findings
from chalicelib.passes.format.check import check_pass, fields_of, find_unwritable
from chalicelib.passes.format.findings import Level
from chalicelib.passes.format.images import (
    OTHER_IMAGE_SUFFIXES,
    PASS_JSON,
    PERSONALIZATION_JSON,
    PERSONALIZATION_LOGO,
    STRINGS,
    TOOLING_JSON,
    image_name,
    is_language_folder,
    is_pass_file,
)
from chalicelib.passes.format.keys import PERSONALIZATION, STYLES
from chalicelib.passes.strings import StringsError, parse_strings
from chalicelib.passes.template import MADE_FOR_EACH_PASS, Template, TemplateError
from infra.operate.templates.findings import TemplateFinding, error, warning
from infra.operate.templates.images import check_images


def check_template(name: str, files: dict[str, bytes]) -> list[TemplateFinding]:
    """Check a template's files.

    Args:
        name: name of the template.
        files: contents by path.

    Returns:
        Findings in the order in which they should be read.
    """
    content, findings = _read_json(files, PASS_JSON)
    findings += _check_paths(files)
    if content is None:
        return [*findings, *check_images(files, styles=())]
    images = {found[0] for path in files if (found := image_name(path.rpartition("/")[2])) is not None}
    findings += _of_file(PASS_JSON, check_pass(content, images=images))
    if PERSONALIZATION_JSON in files:
        asked, unread = _read_json(files, PERSONALIZATION_JSON)
        findings += unread
        findings += [] if asked is None else _check_personalization(asked, content)
        if PERSONALIZATION_LOGO not in images:
            findings.append(error(f"{PERSONALIZATION_LOGO}.png", "", "is missing; sign-up shows it: 150x40"))
    strings, unread = _read_strings(files)
    findings += [*unread, *_check_strings(strings), *_check_change_messages(content, strings)]
    findings += check_images(files, styles=[style for style in STYLES if style in content])
    if not any(finding.file == PASS_JSON and finding.level is Level.ERROR for finding in findings):
        try:
            Template.parse(name, files)
        except TemplateError as problem:
            findings.append(error("", "", str(problem)))
    return findings


def _of_file(file: str, found: list[format_findings.Finding]) -> list[TemplateFinding]:
    return [TemplateFinding(each.level, file, each.path, each.problem, each.source) for each in found]


def _check_personalization(asked: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[TemplateFinding]:
    report = format_findings.Report(suggestions=1)
    PERSONALIZATION.check(asked, "", report)
    yield from _of_file(PERSONALIZATION_JSON, [*find_unwritable(asked, ""), *report.findings])
    if "nfc" not in content:
        yield warning(
            PERSONALIZATION_JSON,
            "",
            "has no effect in a pass without nfc: add nfc to pass.json, which requires a special certificate from "
            "Apple, or remove this file",
            "Apple, Personalize",
        )
    elif "storeCard" not in content:
        yield warning(
            PERSONALIZATION_JSON,
            "",
            "has an effect only in a storeCard; change the style or remove this file",
            "Apple, Personalize",
        )


def _read_json(files: Mapping[str, bytes], path: str) -> tuple[dict[str, Any] | None, list[TemplateFinding]]:
    findings: list[TemplateFinding] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in members).items() if count > 1]
        findings.extend(error(path, key, "occurs twice in one object; remove one") for key in twice)
        return dict(members)

    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is not a JSON number; write a number or a text")

    if path not in files:
        return None, [error(path, "", "is missing; every template needs it")]
    try:
        content = json.loads(files[path].decode("utf-8-sig"), object_pairs_hook=pairs, parse_constant=refused)
    except (ValueError, RecursionError) as problem:
        return None, [error(path, "", f"is not JSON: {problem}")]
    if not isinstance(content, dict):
        return None, [error(path, "", "must be a JSON object")]
    return content, findings


def _check_paths(files: Mapping[str, bytes]) -> Iterator[TemplateFinding]:
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        if path in MADE_FOR_EACH_PASS:
            yield warning(path, "", "is created for each pass; remove it")
        elif path == TOOLING_JSON:
            yield warning(
                path, "", "contains settings of Pass Designer and is left out of passes", "apple/pass-builder"
            )
        elif "/" in folder or (folder and not folder.endswith(".lproj")):
            yield warning(path, "", "is left out: Wallet only reads folders named xx.lproj")
        elif folder and not is_language_folder(folder):
            yield error(path, "", f"{folder!r} is not a language; name it like en.lproj or zh-Hans.lproj")
        elif name == STRINGS and not folder:
            yield error(path, "", "is not in a language folder; put it into en.lproj, de.lproj, ...")
        elif not is_pass_file(path) and not name.lower().endswith(OTHER_IMAGE_SUFFIXES):
            yield warning(path, "", "is left out: a pass contains only pass.json, PNGs and xx.lproj folders")


def _read_strings(files: Mapping[str, bytes]) -> tuple[dict[str, dict[str, str]], list[TemplateFinding]]:
    """Return the texts by the path of their language file, and findings about unreadable files."""
    strings: dict[str, dict[str, str]] = {}
    findings: list[TemplateFinding] = []
    for path in sorted(files):
        if is_pass_file(path) and path.endswith(f"/{STRINGS}"):
            try:
                strings[path] = parse_strings(files[path])
            except StringsError as problem:
                findings.append(error(path, "", str(problem)))
    return strings, findings


def _check_strings(strings: Mapping[str, Mapping[str, str]]) -> Iterator[TemplateFinding]:
    """Find texts that only some languages have; phones show their keys in the other languages."""
    everywhere = {key for texts in strings.values() for key in texts}
    for path, texts in strings.items():
        lacking = sorted(everywhere - set(texts))
        if lacking:
            yield warning(
                path, "", f"lacks {', '.join(lacking)}, which another language has; phones show the key instead"
            )


def _check_change_messages(
    content: Mapping[str, Any], strings: Mapping[str, Mapping[str, str]]
) -> Iterator[TemplateFinding]:
    for path, _, _, member in fields_of(content):
        message = member.get("changeMessage")
        if not isinstance(message, str):
            continue
        translated = {file: texts[message] for file, texts in strings.items() if message in texts}
        for file, text in (translated or {PASS_JSON: message}).items():
            if "%@" not in text:
                where = f"{path}.changeMessage" if file == PASS_JSON else f'"{message}"'
                yield warning(
                    file,
                    where,
                    f"{text!r} has no %@, which is replaced by the new value; people see that something changed, not "
                    "what",
                )
