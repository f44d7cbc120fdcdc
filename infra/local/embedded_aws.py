"""Starts ministack, with one thing fixed and AWS's refusals added (`strict_aws.py`); runs on ministack's own Python, so
it imports nothing of ours but that.

A Query of ministack takes its key condition apart anew for every row of the partition, on every page: with 100,000
rows that is 4 seconds a page, in which nothing else is answered. Here a condition on the partition key alone, whose
rows were found by that key already, is one comparison.
"""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

from ministack import app  # type: ignore[import-not-found]  # not installed beside our tools
from ministack.services import (  # type: ignore[import-not-found]  # likewise
    cloudformation,
    dynamodb,
    secretsmanager,
    sqs,
)
from ministack.services.cloudformation import (  # type: ignore[import-not-found]  # likewise
    changesets,
    handlers,
    provisioners,
)

PARTITION = re.compile(r"\s*(#?\w+)\s*=\s*(:\w+)\s*")

_evaluate = dynamodb._evaluate_condition  # noqa: SLF001 - there is no public way


def evaluate(expr, item, attr_values, attr_names, slot="ConditionExpression"):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - ministack's signature
    """As ministack's own."""
    if slot == "KeyConditionExpression" and (found := PARTITION.fullmatch(expr)):
        name, value = found.groups()
        return item.get(attr_names.get(name, name)) == attr_values.get(value)
    return _evaluate(expr, item, attr_values, attr_names, slot=slot)


dynamodb._evaluate_condition = evaluate  # noqa: SLF001

STRICT = "PASSWIRE_STRICT_AWS"
"""JSON of the `Limits` that differ from their defaults; missing for ministack as it is."""


def add_refusals(limits: str) -> None:
    """Make it refuse what AWS refuses."""
    spec = importlib.util.spec_from_file_location("strict_aws", Path(__file__).with_name("strict_aws.py"))
    assert spec is not None  # noqa: S101 - the file is beside this one
    assert spec.loader is not None  # noqa: S101 - likewise
    strict = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = strict  # dataclasses look themselves up there
    spec.loader.exec_module(strict)

    wanted = strict.Limits()
    wanted.change(json.loads(limits))
    strict.Strict(
        wanted,
        app,
        {
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
