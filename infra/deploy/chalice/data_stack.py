"""Builds the stack of a stage whose functions `chalice deploy` deploys: the resources that `resources()` defines.

References to functions and to the API become the names that Chalice gives them. The API's id is a parameter, since it
is known only after the first `chalice deploy`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from chalice.utils import to_cfn_resource_name

from infra.deploy.expressions import Document, found_in, name_of, output_of
from infra.deploy.resources import chalice_config, resources
from infra.deploy.template import Template

API_ID = "ApiId"
HAS_API = "HasApi"
API, API_STAGE, API_FUNCTION = "RestAPI", "RestAPI.Stage", "APIHandler"
API_STAGE_NAME = "api"
SUB_VARIABLE = re.compile(r"\$\{([A-Za-z0-9]+)(\.Arn)?\}")


def function_names() -> dict[str, str]:
    """Return the functions' names in `chalice deploy` by logical id, with `${Stage}` for the stage's name."""
    config = chalice_config()
    named = {
        to_cfn_resource_name(name): f"{config['app_name']}-${{Stage}}-{name}" for name in config["lambda_functions"]
    }
    named.pop(to_cfn_resource_name("api_handler"))
    return {**named, API_FUNCTION: f"{config['app_name']}-${{Stage}}"}


def additions() -> dict[str, dict[str, Any]]:
    """Return the properties that `resources()` adds to Chalice's resources, by logical id."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in resources()["Resources"].items()
        if "Type" not in resource
    }


def environment() -> dict[str, Document]:
    """Return the functions' environment variables, whose values are expressions."""
    variables: dict[str, Document] = resources()["Globals"]["Function"]["Environment"]["Variables"]
    return variables


def data_template(read: Iterable[Document]) -> Template:
    """Return the template.

    Args:
        read: documents whose expressions become internal outputs of the stack.
    """
    source = resources()
    expressions = [expression for document in read for expression in found_in(document)]
    outputs = {**source["Outputs"], **{name_of(expression): output_of(expression) for expression in expressions}}
    own = {logical_id: resource for logical_id, resource in source["Resources"].items() if "Type" in resource}
    conditions: dict[str, Any] = {
        **source.get("Conditions", {}),
        HAS_API: {"Fn::Not": [{"Fn::Equals": [{"Ref": API_ID}, ""]}]},
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": {**source["Parameters"], API_ID: {"Type": "String", "Default": ""}},
        "Resources": {name: _literal(_if_api(resource, conditions)) for name, resource in own.items()},
        "Outputs": {name: _literal(_if_api(output, conditions)) for name, output in outputs.items()},
        "Conditions": conditions,
        "Rules": source["Rules"],
    }


def _if_api(part: dict[str, Any], conditions: dict[str, Any]) -> dict[str, Any]:
    """Add the condition that the API exists to a resource or output that refers to it."""
    if not _refers_to_api(part):
        return part
    own = part.get("Condition")
    if own is None:
        return {**part, "Condition": HAS_API}
    both = f"{own}And{HAS_API}"
    conditions[both] = {"Fn::And": [{"Condition": own}, {"Condition": HAS_API}]}
    return {**part, "Condition": both}


def _refers_to_api(node: Document) -> bool:
    text = json.dumps(node)
    return f'"{API}"' in text or f'"{API_STAGE}"' in text or f"${{{API}}}" in text


def _literal(node: Document) -> Document:
    """Replace references to Chalice's resources by their names."""
    match node:
        case {"Ref": str(target)}:
            return _name(target) or node
        case {"Fn::GetAtt": [str(target), "Arn"]} if target in function_names():
            return {"Fn::Sub": _function_arn(target)}
        case {"Fn::Sub": str(text)}:
            return {"Fn::Sub": SUB_VARIABLE.sub(_in_text, text)}
        case dict():
            return {key: _literal(value) for key, value in node.items()}
        case list():
            return [_literal(value) for value in node]
        case _:
            return node


def _name(target: str) -> Document | None:
    if target == API:
        return {"Ref": API_ID}
    if target == API_STAGE:
        return API_STAGE_NAME
    name = function_names().get(target)
    return None if name is None else {"Fn::Sub": name}


def _in_text(variable: "re.Match[str]") -> str:
    target, attribute = variable[1], variable[2]
    if target == API:
        return f"${{{API_ID}}}"
    if target not in function_names():
        return variable[0]
    return _function_arn(target) if attribute else function_names()[target]


def _function_arn(target: str) -> str:
    name: Mapping[str, str] = function_names()
    return f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{name[target]}"
