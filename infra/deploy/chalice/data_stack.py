"""The stack of a stage whose functions `chalice deploy` makes: all that `resources()` itself defines.

What refers to a function there, or to the API, refers to what Chalice calls them by; an API's id is a parameter, since
it is known only after the first `chalice deploy`.
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
    """By logical id, what `chalice deploy` calls each function, with the stage's name to be filled in."""
    config = chalice_config()
    named = {
        to_cfn_resource_name(name): f"{config['app_name']}-${{Stage}}-{name}" for name in config["lambda_functions"]
    }
    named.pop(to_cfn_resource_name("api_handler"))
    return {**named, API_FUNCTION: f"{config['app_name']}-${{Stage}}"}


def additions() -> dict[str, dict[str, Any]]:
    """By logical id, what `resources()` adds to what Chalice makes."""
    return {
        logical_id: resource["Properties"]
        for logical_id, resource in resources()["Resources"].items()
        if "Type" not in resource
    }


def environment() -> dict[str, Document]:
    """The functions' environment, its values still expressions."""
    variables: dict[str, Document] = resources()["Globals"]["Function"]["Environment"]["Variables"]
    return variables


def data_template(read: Iterable[Document]) -> Template:
    """The template.

    Args:
        read: documents whose expressions this side must know the values of.
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
    """A resource or output that refers to the API is only there once the API is."""
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
    """The node with references to what Chalice makes replaced by how it is found without a stack."""
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
