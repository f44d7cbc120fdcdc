"""Starts ministack with one function replaced, its streams kept over a restart, alarms evaluated as by AWS, AWS's
refusals and faults added, functions started in turn, and certificates issued on demand. It runs on ministack's Python,
and of this project it imports `metric_alarms.py`, `strict/`, `aws_faults.py` and `issuing_aws.py`.

A Query of ministack parses its key condition again for every row of the partition, on every page: with 100,000 rows
that takes 4 seconds per page, in which nothing else is answered. With the replacement, a condition on the partition key
alone is one comparison.
"""

import copy
import importlib.util
import json
import os
import re
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from ministack import app  # type: ignore[import-not-found]  # installed in an environment of its own
from ministack.core import lambda_runtime  # type: ignore[import-not-found]  # as above
from ministack.services import (  # type: ignore[import-not-found]  # as above
    apigateway_v1,
    cloudformation,
    cloudwatch,
    dynamodb,
    eventbridge,
    lambda_svc,
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


AUTHORITY = "PASSWIRE_AUTHORITY"
"""URL of the authority that issues certificates of pass types (`authority.py`); not set for none."""


def load(name: str) -> ModuleType:
    """Import a module or package of this folder without the package that it is in."""
    path = Path(__file__).with_name(name)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # noqa: S101 - the file is beside this one
    assert spec.loader is not None  # noqa: S101 - as above
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    return module


def add_refusals(limits: str) -> None:
    """Make ministack refuse what AWS refuses; `limits` is JSON."""
    load("strict")
    wanted = importlib.import_module("strict.limits").Limits()
    wanted.change(json.loads(limits))
    importlib.import_module("strict.application").Strict(
        wanted,
        app,
        {
            "apigateway": apigateway_v1,
            "dynamodb": dynamodb,
            "lambda_svc": lambda_svc,
            "secretsmanager": secretsmanager,
            "sqs": sqs,
            "cloudformation": cloudformation,
            "changesets": changesets,
            "handlers": handlers,
            "provisioners": provisioners,
        },
    )


def add_faults() -> None:
    """Make ministack able to fail as AWS may."""
    services = {"dynamodb": dynamodb, "lambda_runtime": lambda_runtime, "lambda_svc": lambda_svc, "sqs": sqs}
    load("aws_faults").FaultyAws(app, services)


def keep_stream_records() -> None:
    """Save the records of DynamoDB's streams with the tables.

    Ministack saves how far each event source mapping has read, but not the records. After a restart it would skip as
    many new records as it had read before, and lose those that it had not read.
    """
    save, restore = dynamodb.get_state, dynamodb.load_persisted_state
    stores = {"stream_records": dynamodb._stream_records, "stream_trimmed": dynamodb._stream_trimmed}  # noqa: SLF001

    def get_state() -> dict[str, Any]:
        return {**save(), **copy.deepcopy(stores)}

    def load_persisted_state(data: dict[str, Any] | None) -> None:
        restore(data)
        for name, store in stores.items():
            store.update((data or {}).get(name, {}))

    dynamodb.get_state, dynamodb.load_persisted_state = get_state, load_persisted_state


def add_archives() -> None:
    """Let CloudFormation create archives of events, which ministack has only in its API."""

    def create(_: str, props: dict[str, Any], __: str) -> tuple[str, dict[str, str]]:
        name = str(props["ArchiveName"])
        pattern = json.dumps(props["EventPattern"]) if "EventPattern" in props else ""
        eventbridge._create_archive(  # noqa: SLF001 - it has no public name
            {
                "ArchiveName": name,
                "EventSourceArn": props["SourceArn"],
                "EventPattern": pattern,
                "RetentionDays": int(props.get("RetentionDays", 0)),
            }
        )
        return name, {"ArchiveName": name}

    def delete(name: str, _: dict[str, Any]) -> None:
        eventbridge._delete_archive({"ArchiveName": name})  # noqa: SLF001 - as above

    provisioners._RESOURCE_HANDLERS["AWS::Events::Archive"] = {"create": create, "delete": delete}  # noqa: SLF001


def start_environments_in_turn() -> None:
    """Start no more execution environments of a function at the same time than the machine has cores.

    AWS gives each of them CPU time of its own. Here, when many phones call at once, dozens would start at the same
    time, and until then the functions' requests to ministack would get no answer in time.
    """
    spawn = lambda_runtime.Worker._spawn  # noqa: SLF001 - it has no public name
    turns: dict[str, threading.Semaphore] = {}

    def spawn_in_turn(worker: Any) -> None:  # noqa: ANN401 - ministack has no types
        with turns.setdefault(worker.func_name, threading.Semaphore(os.cpu_count() or 1)):
            spawn(worker)

    lambda_runtime.Worker._spawn = spawn_in_turn  # noqa: SLF001 - as above


add_archives()
start_environments_in_turn()
keep_stream_records()
load("metric_alarms").MetricAlarms(cloudwatch).install()
if STRICT in os.environ:
    add_refusals(os.environ[STRICT])
    add_faults()
if AUTHORITY in os.environ:
    handlers_by_service = app.SERVICE_HANDLERS
    secrets = load("issuing_aws").IssuingSecrets(handlers_by_service["secretsmanager"], os.environ[AUTHORITY])
    handlers_by_service["secretsmanager"] = secrets.handle
app.main()
