"""The check of a template before it is stored: everything that would make phones refuse its passes, or show them wrong.

It runs in the command line and the tests; a download trusts what was stored.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.passes.format import findings as format_findings
from chalicelib.passes.format.check import check_pass, fields_of, find_unwritable
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
from infra.operate.templates.findings import Finding, Severity, error, warning
from infra.operate.templates.images import check_images


def check_template(name: str, files: dict[str, bytes]) -> list[Finding]:
    """What there is to say about a template, in the order in which it is best read."""
    content, findings = _read_json(files, PASS_JSON)
    findings += _check_paths(files)
    if content is None:
        return [*findings, *check_images(files, style=None)]
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
    findings += check_images(files, style=next((style for style in STYLES if style in content), None))
    if not any(finding.file == PASS_JSON and finding.severity is Severity.ERROR for finding in findings):
        try:
            Template.parse(name, files)
        except TemplateError as problem:
            findings.append(error("", "", str(problem)))
    return findings


def _of_file(file: str, found: list[format_findings.Finding]) -> list[Finding]:
    return [Finding(Severity(each.level.value), file, each.path, each.problem, each.source) for each in found]


def _check_personalization(asked: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[Finding]:
    report = format_findings.Report(suggestions=1)
    PERSONALIZATION.check(asked, "", report)
    yield from _of_file(PERSONALIZATION_JSON, [*find_unwritable(asked, ""), *report.findings])
    if "nfc" not in content:
        yield warning(
            PERSONALIZATION_JSON,
            "",
            "has no effect in a pass without nfc: add nfc to pass.json, which needs a certificate that Apple issues "
            "for it, or take this file out",
            "Apple, Personalize",
        )
    elif "storeCard" not in content:
        yield warning(PERSONALIZATION_JSON, "", "has an effect in a storeCard alone", "Apple, Personalize")


def _read_json(files: Mapping[str, bytes], path: str) -> tuple[dict[str, Any] | None, list[Finding]]:
    findings: list[Finding] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [key for key, count in Counter(key for key, _ in members).items() if count > 1]
        findings.extend(error(path, key, "stands there twice in one object; take one out") for key in twice)
        return dict(members)

    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number; write a number or a text")

    if path not in files:
        return None, [error(path, "", "is missing; it is what a template begins with")]
    try:
        content = json.loads(files[path].decode("utf-8-sig"), object_pairs_hook=pairs, parse_constant=refused)
    except (ValueError, RecursionError) as problem:
        return None, [error(path, "", f"is not JSON: {problem}")]
    if not isinstance(content, dict):
        return None, [error(path, "", "must be a JSON object")]
    return content, findings


def _check_paths(files: Mapping[str, bytes]) -> Iterator[Finding]:
    for path in sorted(files):
        folder, _, name = path.rpartition("/")
        if path in MADE_FOR_EACH_PASS:
            yield warning(path, "", "is made anew for each pass; take it out")
        elif path == TOOLING_JSON:
            yield warning(path, "", "is Pass Designer's own and is left out of passes", "apple/pass-builder")
        elif "/" in folder or (folder and not folder.endswith(".lproj")):
            yield warning(path, "", "is left out: it is in a folder that Wallet does not look into; only xx.lproj are")
        elif folder and not is_language_folder(folder):
            yield error(path, "", f"{folder!r} is no language; name it like en.lproj or zh-Hans.lproj")
        elif name == STRINGS and not folder:
            yield error(path, "", "stands in no language; put it into en.lproj, de.lproj, ...")
        elif not is_pass_file(path) and not name.lower().endswith(OTHER_IMAGE_SUFFIXES):
            yield warning(path, "", "is left out: a pass has pass.json, PNGs and xx.lproj folders")


def _read_strings(files: Mapping[str, bytes]) -> tuple[dict[str, dict[str, str]], list[Finding]]:
    """The texts by language file."""
    strings: dict[str, dict[str, str]] = {}
    findings: list[Finding] = []
    for path in sorted(files):
        if is_pass_file(path) and path.endswith(f"/{STRINGS}"):
            try:
                strings[path] = parse_strings(files[path])
            except StringsError as problem:
                findings.append(error(path, "", str(problem)))
    return strings, findings


def _check_strings(strings: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """A text that one language has and another lacks is shown as its key."""
    everywhere = {key for texts in strings.values() for key in texts}
    for path, texts in strings.items():
        lacking = sorted(everywhere - set(texts))
        if lacking:
            yield warning(
                path, "", f"lacks {', '.join(lacking)}, which another language has; phones show the key instead"
            )


def _check_change_messages(content: Mapping[str, Any], strings: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
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
                    f"{text!r} has no %@, where the new value stands; people see that something changed, not what",
                )
