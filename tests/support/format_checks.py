"""Passes for the check of Apple's format, and its findings by level."""

from collections.abc import Mapping
from typing import Any

from chalicelib.passes.format.check import check_pass
from chalicelib.passes.format.findings import Finding, Level

Content = dict[str, Any]
P256_KEY = "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACf9if+rM8ESQjpEUsD0G6k4hXK1suPnlkFwBqyqAlihc="


def a_pass(style: str = "storeCard", /, **keys: object) -> Content:
    groups: Content = {"primaryFields": [{"key": "a", "value": "x"}]}
    if style == "boardingPass":
        groups["transitType"] = "PKTransitTypeAir"
    return {"formatVersion": 1, "description": "d", "organizationName": "o", style: groups, **keys}


def with_field(style: str = "generic", group: str = "secondaryFields", /, **field: object) -> Content:
    return a_pass(style, **{style: {group: [{"key": "a", "value": "x", **field}]}})


def of_level(findings: list[Finding], level: Level) -> list[str]:
    return [str(finding) for finding in findings if finding.level is level]


def errors(content: Mapping[str, Any]) -> list[str]:
    return of_level(check_pass(content), Level.ERROR)


def warnings(content: Mapping[str, Any]) -> list[str]:
    assert errors(content) == []
    return of_level(check_pass(content), Level.WARNING)


def tags(**tags: object) -> Content:
    return a_pass(semantics=tags)
