"""The check of a template before it is stored: everything that would make phones refuse its passes, or show them wrong.

It runs in the command line and the tests; a download trusts what was stored.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from chalicelib.passes.dates import is_w3c_date, not_a_date
from chalicelib.passes.strings import StringsError, parse_strings
from chalicelib.passes.template import (
    FIELD_GROUPS,
    MADE_FOR_EACH_PASS,
    PASS_JSON,
    PERSONALIZATION_JSON,
    PERSONALIZATION_LOGO,
    STYLES,
    Template,
    TemplateError,
)
from infra.operate.templates.findings import Finding, error, warning
from infra.operate.templates.images import check_images
from infra.operate.templates.model import BARCODE_FORMATS, DEPRECATED, HEX_COLOR, STYLE_SCHEMES, Pass, Personalization

STRINGS = "pass.strings"
_LANGUAGE = re.compile(r"(Base|[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*)\.lproj")
_INPUT_SHOWN = 40


def check_template(name: str, files: dict[str, bytes]) -> list[Finding]:
    """What there is to say about a template, in the order in which it is best read."""
    content, findings = _read_json(files, PASS_JSON)
    findings += _check_paths(files)
    if content is None:
        return [*findings, *check_images(files, style=None)]
    findings += check_pass_json(content)
    if PERSONALIZATION_JSON in files:
        asked, unread = _read_json(files, PERSONALIZATION_JSON)
        findings += unread
        findings += [] if asked is None else _check_model(Personalization, asked, PERSONALIZATION_JSON)
        if not any(path.rpartition("/")[2].startswith(PERSONALIZATION_LOGO) for path in files):
            findings.append(error(f"{PERSONALIZATION_LOGO}.png", "", "is missing; sign-up shows it: 150x40"))
    strings, unread = _read_strings(files)
    findings += [*unread, *_check_strings(strings), *_check_change_messages(content, strings)]
    findings += check_images(files, style=next((style for style in STYLES if style in content), None))
    if not any(finding.file == PASS_JSON for finding in findings):
        try:
            Template.parse(name, files)
        except TemplateError as problem:
            findings.append(error("", "", str(problem)))
    return findings


def check_pass_json(content: Mapping[str, Any]) -> list[Finding]:
    """What there is to say about a parsed pass.json alone."""
    return [
        *_check_model(Pass, content, PASS_JSON),
        *_check_style(content),
        *_check_field_keys(content),
        *_check_field_values(content),
        *_check_vocabulary(content),
        *(warning(PASS_JSON, key, advice) for key, advice in DEPRECATED.items() if key in content),
    ]


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
        elif "/" in folder or (folder and not folder.endswith(".lproj")):
            yield warning(path, "", "is in a folder that Wallet does not look into; only xx.lproj are")
        elif folder and _LANGUAGE.fullmatch(folder) is None:
            yield error(path, "", f"{folder!r} is no language; name it like en.lproj or zh-Hans.lproj")
        elif name == STRINGS and not folder:
            yield error(path, "", "stands in no language; put it into en.lproj, de.lproj, ...")


def _check_model(model: type[BaseModel], content: Mapping[str, Any], file: str) -> list[Finding]:
    errors: list[Finding] = []
    unknown = {key for key in content if key not in model.model_fields}
    try:
        unknown |= set(_unknown(model.model_validate(content)))
    except ValidationError as problems:
        errors = [
            error(file, _json_path(problem["loc"]), _sentence(problem["msg"], problem["type"], problem["input"]))
            for problem in problems.errors()
        ]
    unfamiliar = "is no key that Apple documents; phones pass over it"
    return [*errors, *(warning(file, path, unfamiliar) for path in sorted(unknown))]


def _sentence(message: str, kind: str, value: object) -> str:
    """Pydantic's words, with what was found, and the name of our own checks taken off."""
    if kind == "missing":
        return "is missing; Apple requires it"
    text = message.removeprefix("Value error, ")
    found = json.dumps(value, ensure_ascii=False, default=str)
    shown = found if len(found) <= _INPUT_SHOWN else found[:_INPUT_SHOWN] + "..."
    return f"{shown}: {text[:1].lower()}{text[1:]}"


def _json_path(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")


def _unknown(part: BaseModel, path: str = "") -> Iterator[str]:
    yield from (f"{path}{key}" for key in part.model_extra or {})
    for name in type(part).model_fields:
        value = getattr(part, name)
        for index, member in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(member, BaseModel):
                yield from _unknown(member, f"{path}{name}[{index}]." if isinstance(value, list) else f"{path}{name}.")


def _check_style(content: Mapping[str, Any]) -> Iterator[Finding]:
    styles = [style for style in STYLES if style in content]
    if not styles:
        yield error(PASS_JSON, "", f"has no style; add one of {', '.join(STYLES)}")
    if len([style for style in styles if style != "posterGeneric"]) > 1:
        yield error(PASS_JSON, "", f"has the styles {' and '.join(styles)}; a pass has one, keep that")


def fields_of(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each field that is one, with its path."""
    for style in STYLES:
        groups = content.get(style)
        for group, members in groups.items() if isinstance(groups, dict) else ():
            for index, member in enumerate(members if group in FIELD_GROUPS and isinstance(members, list) else ()):
                if isinstance(member, dict):
                    yield f"{style}.{group}[{index}]", member


def _check_field_keys(content: Mapping[str, Any]) -> Iterator[Finding]:
    first: dict[tuple[str, str], str] = {}
    for path, member in fields_of(content):
        key = member.get("key")
        if isinstance(key, str):
            style = path.partition(".")[0]
            there = first.setdefault((style, key), path)
            if there != path:
                yield error(
                    PASS_JSON, f"{path}.key", f"{key!r} is the key of {there} already; keys are unique, rename one"
                )


def _check_field_values(content: Mapping[str, Any]) -> Iterator[Finding]:
    for path, member in fields_of(content):
        value = member.get("value")
        dated = "dateStyle" in member or "timeStyle" in member
        numbered = "numberStyle" in member or "currencyCode" in member
        if dated and numbered:
            yield error(PASS_JSON, path, "has the styles of a date and of a number; keep one")
        elif dated and not is_w3c_date(value):
            yield error(PASS_JSON, f"{path}.value", not_a_date(value))
        elif numbered and (isinstance(value, bool) or not isinstance(value, int | float)):
            yield error(PASS_JSON, f"{path}.value", f"{value!r} must be a number; the field is formatted as one")
        if "numberStyle" in member and "currencyCode" in member:
            yield warning(PASS_JSON, path, "has numberStyle and currencyCode; phones take the currency, drop the other")


def _check_vocabulary(content: Mapping[str, Any]) -> Iterator[Finding]:
    for key, value in content.items():
        if key.endswith("Color") and isinstance(value, str) and HEX_COLOR.fullmatch(value):
            parts = ", ".join(str(int(value[start : start + 2], 16)) for start in (1, 3, 5))
            yield warning(PASS_JSON, key, f"{value!r} is not the form that Apple documents; write rgb({parts})")
    barcodes = content.get("barcodes")
    formats = (
        [barcode.get("format") for barcode in barcodes if isinstance(barcode, dict)]
        if isinstance(barcodes, list)
        else []
    )
    if formats and not any(form in BARCODE_FORMATS for form in formats):
        yield warning(
            PASS_JSON,
            "barcodes",
            f"no phone before iOS 27 draws these; add one of {', '.join(BARCODE_FORMATS)} behind them",
        )
    schemes = content.get("preferredStyleSchemes")
    for index, scheme in enumerate(schemes if isinstance(schemes, list) else ()):
        if scheme not in STYLE_SCHEMES:
            yield warning(
                PASS_JSON, f"preferredStyleSchemes[{index}]", f"{scheme!r} is none of {', '.join(STYLE_SCHEMES)}"
            )


def _read_strings(files: Mapping[str, bytes]) -> tuple[dict[str, dict[str, str]], list[Finding]]:
    """The texts by language file."""
    strings: dict[str, dict[str, str]] = {}
    findings: list[Finding] = []
    for path in sorted(files):
        if path.endswith(f".lproj/{STRINGS}"):
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
    for path, member in fields_of(content):
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
