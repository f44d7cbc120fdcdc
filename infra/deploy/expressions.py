"""Finds and replaces CloudFormation's expressions (`Ref`, `Fn::...`) in a document.

The files that `chalice deploy` reads cannot contain expressions. CloudFormation evaluates them, as outputs of a stack;
this module finds, names and replaces them.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.stage.stage import INTERNAL_OUTPUT_PREFIX

MARK = "="
"""The first character of each such output, which must not be empty."""

Document = Any


def found_in(document: Document) -> Iterator[Document]:
    """Return the outermost expressions of a document."""
    if is_expression(document):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from found_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from found_in(value)


def replaced(document: Document, replace: Callable[[Document], Document]) -> Document:
    """Return the document with each outermost expression replaced."""
    if is_expression(document):
        return replace(document)
    if isinstance(document, dict):
        return {key: replaced(value, replace) for key, value in document.items()}
    if isinstance(document, list):
        return [replaced(value, replace) for value in document]
    return document


def is_expression(node: Document) -> bool:
    """Return whether CloudFormation would evaluate a node."""
    return isinstance(node, dict) and len(node) == 1 and (key := next(iter(node))) and _is_function(key)


def _is_function(key: str) -> bool:
    return key == "Ref" or key.startswith("Fn::")


def name_of(expression: Document) -> str:
    """Return the name of the output that has the value of an expression."""
    return INTERNAL_OUTPUT_PREFIX + hashlib.sha256(json.dumps(expression, sort_keys=True).encode()).hexdigest()[:16]


def output_of(expression: Document) -> Document:
    """Return the output that has the value of an expression."""
    return {"Value": {"Fn::Join": ["", [MARK, expression]]}}


def filled_in(document: Document, values: Mapping[str, str]) -> Document:
    """Return the document with its expressions replaced by the values of a stack's outputs."""
    return replaced(document, lambda expression: values[name_of(expression)].removeprefix(MARK))
