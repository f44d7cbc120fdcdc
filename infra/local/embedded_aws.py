"""Starts ministack with one function replaced and AWS's refusals added. It runs on ministack's Python, and of this
project it imports `strict_aws.py` only.

A Query of ministack parses its key condition again for every row of the partition, on every page: with 100,000 rows
that takes 4 seconds per page, in which nothing else is answered. With the replacement, a condition on the partition key
alone is one comparison.
"""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

from ministack import app  # type: ignore[import-not-found]  # installed in an environment of its own
from ministack.services import (  # type: ignore[import-not-found]  # as above
    apigateway_v1,
    cloudformation,
    dynamodb,
    secretsmanager,
    sqs,
)
from ministack.services.cloudformation import (  # type: ignore[import-not-found]  # as above
    changesets,
    handlers,
    provisioners,
)

PARTITION = re.compile(r"\s*(#?\w+)\s*=\s*(:\w+)\s*")

_evaluate = dynamodb._evaluate_condition  # noqa: SLF001 - it has no public name


def evaluate(expr, item, attr_values, attr_names, slot="ConditionExpression"):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - ministack's signature
    """Evaluate a condition as ministack does."""
    if slot == "KeyConditionExpression" and (found := PARTITION.fullmatch(expr)):
        name, value = found.groups()
        return item.get(attr_names.get(name, name)) == attr_values.get(value)
    return _evaluate(expr, item, attr_values, attr_names, slot=slot)


dynamodb._evaluate_condition = evaluate  # noqa: SLF001

STRICT = "PASSWIRE_STRICT_AWS"
"""JSON of the `Limits` that differ from their defaults; not set for ministack without AWS's refusals."""


def add_refusals(limits: str) -> None:
    """Make ministack refuse what AWS refuses; `limits` is JSON."""
    spec = importlib.util.spec_from_file_location("strict_aws", Path(__file__).with_name("strict_aws.py"))
    assert spec is not None  # noqa: S101 - the file is beside this one
    assert spec.loader is not None  # noqa: S101 - as above
    strict = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = strict  # dataclasses look up their module there
    spec.loader.exec_module(strict)

    wanted = strict.Limits()
    wanted.change(json.loads(limits))
    strict.Strict(
        wanted,
        app,
        {
            "apigateway": apigateway_v1,
            "dynamodb": dynamodb,
            "secretsmanager": secretsmanager,
            "sqs": sqs,
            "cloudformation": cloudformation,
            "changesets": changesets,
            "handlers": handlers,
            "provisioners": provisioners,
        },
    )


if STRICT in os.environ:
    add_refusals(os.environ[STRICT])
app.main()
