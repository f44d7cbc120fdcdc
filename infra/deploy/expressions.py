"""CloudFormation's expressions (`Ref`, `Fn::...`) inside a document, found and filled in.

What `chalice deploy` reads knows no expressions. CloudFormation itself works them out, as outputs of a stack; here they
are only found, named and replaced.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.stage.stage import INTERNAL_OUTPUT_PREFIX

MARK = "="
"""Stands before each value: an output must not be empty."""

Document = Any


def found_in(document: Document) -> Iterator[Document]:
    """The outermost expressions."""
    if is_expression(document):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from found_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from found_in(value)


def replaced(document: Document, replace: Callable[[Document], Document]) -> Document:
    """The document with each outermost expression replaced."""
    if is_expression(document):
        return replace(document)
    if isinstance(document, dict):
        return {key: replaced(value, replace) for key, value in document.items()}
    if isinstance(document, list):
        return [replaced(value, replace) for value in document]
    return document


def is_expression(node: Document) -> bool:
    """Whether CloudFormation would replace it."""
    return isinstance(node, dict) and len(node) == 1 and (key := next(iter(node))) and _is_function(key)


def _is_function(key: str) -> bool:
    return key == "Ref" or key.startswith("Fn::")


def name_of(expression: Document) -> str:
    """The name of the output that holds its value."""
    return INTERNAL_OUTPUT_PREFIX + hashlib.sha256(json.dumps(expression, sort_keys=True).encode()).hexdigest()[:16]


def output_of(expression: Document) -> Document:
    """That output."""
    return {"Value": {"Fn::Join": ["", [MARK, expression]]}}


def filled_in(document: Document, values: Mapping[str, str]) -> Document:
    """The document with its expressions replaced by what a stack's outputs say."""
    return replaced(document, lambda expression: values[name_of(expression)].removeprefix(MARK))
