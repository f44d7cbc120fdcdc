"""The OpenAPI description of the HTTP surface, and requests that are generated from it."""

import json
from dataclasses import dataclass
from typing import Any

import schemathesis
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chalicelib.core.identifiers import PassId
from infra.local.processes import PROJECT

Case = schemathesis.Case[Any]
DESCRIPTION: dict[str, Any] = json.loads((PROJECT / "docs/reference/openapi.json").read_text())
METHODS = frozenset({"get", "head", "post", "put", "patch", "delete", "options"})
_FOUND: Any = schemathesis.openapi.from_dict(DESCRIPTION).get_all_operations()
OPERATIONS: dict[str, Any] = {found.ok().label: found.ok() for found in _FOUND}
"""By method and path."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@dataclass(frozen=True)
class Valid:
    """Values with which a request gets further than to a refusal."""

    device: str
    pass_id: PassId
    token: str
    link: str
    names: frozenset[str] = frozenset({"device", "type", "serial", "token", "link"})


def valid_in(case: Case, valid: Valid, parts: set[str]) -> None:
    """Replace some values of a request by valid ones."""
    path = {
        "device": ("device_library_identifier", valid.device),
        "type": ("pass_type_identifier", valid.pass_id.pass_type_identifier),
        "serial": ("serial_number", valid.pass_id.serial_number),
        "link": ("token", valid.link),
    }
    for part in parts:
        if part in path and path[part][0] in case.path_parameters:
            case.path_parameters[path[part][0]] = path[part][1]
    if "token" in parts:
        case.headers["Authorization"] = f"ApplePass {valid.token}"
