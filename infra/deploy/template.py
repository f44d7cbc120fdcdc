"""Prepares the packaged template for CloudFormation: code, and the names of tables and buckets.

A resource of `resources.json` with a type is defined there completely; one without a type adds properties to a resource
that Chalice derives from app.py.
"""

import copy
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from infra.deploy.changes import RETAINED_TYPES

BODY_LIMIT_BYTES = 51_200
"""CloudFormation's limit for a template in a request; a larger template is read from a bucket."""
NAME_PROPERTIES = {"AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName"}

Template = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StageLocation:
    """The account and region that a stage is deployed to."""

    stage: str
    account: str
    region: str

    def named(self, pattern: Any) -> str:  # noqa: ANN401 - a CloudFormation value
        """Resolve a name of `resources.json` as CloudFormation would."""
        name = str(pattern["Fn::Sub"]) if isinstance(pattern, dict) else str(pattern)
        values = {"Stage": self.stage, "AWS::AccountId": self.account, "AWS::Region": self.region}
        for variable, value in values.items():
            name = name.replace(f"${{{variable}}}", value)
        return name


def with_retained_names(template: Template, location: StageLocation) -> Template:
    """Return the template with resolved names of tables and buckets, so that a new stack can take them over."""
    named = copy.deepcopy(template)
    for resource in named["Resources"].values():
        if resource.get("Type") in RETAINED_TYPES:
            key = NAME_PROPERTIES[resource["Type"]]
            resource["Properties"][key] = location.named(resource["Properties"][key])
    return named


def with_code(template: Template, *, bucket: str, key: str) -> Template:
    """Return the template with the location of the uploaded code in every function."""
    located = copy.deepcopy(template)
    for resource in located["Resources"].values():
        if resource.get("Type") == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
    return located


def retained_names(template: Mapping[str, Any], location: StageLocation) -> dict[str, list[str]]:
    """Return the names of the tables and buckets that are kept when the stack is deleted, by type."""
    found: dict[str, list[str]] = {kind: [] for kind in RETAINED_TYPES}
    for resource in template["Resources"].values():
        if (kind := resource.get("Type")) in RETAINED_TYPES:
            found[kind].append(location.named(resource["Properties"][NAME_PROPERTIES[kind]]))
    return found


def retained_only(template: Template, logical_ids: AbstractSet[str]) -> Template:
    """Return a template of some tables and buckets, whose names are resolved.

    It has no parameters, so that it omits the encryption key, which the following update sets.
    """
    resources = copy.deepcopy({name: template["Resources"][name] for name in sorted(logical_ids)})
    for resource in resources.values():
        resource["Properties"].pop("SSESpecification", None)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def encoded(template: Mapping[str, Any]) -> bytes:
    """Return the template as JSON."""
    return json.dumps(template, separators=(",", ":")).encode()
