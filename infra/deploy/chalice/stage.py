"""Prepares a stage for `chalice deploy`, and configures afterwards what Chalice cannot.

Everything comes from `resources()`, as in the stack of `infra/deploy/deployer.py`. Chalice uploads its own zip,
which is not pruned.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chalice.utils import to_cfn_resource_name

from infra.core.program import command
from infra.deploy import functions
from infra.deploy.chalice import gateway, triggers
from infra.deploy.chalice.data_stack import (
    API,
    API_FUNCTION,
    API_ID,
    API_STAGE_NAME,
    additions,
    data_template,
    environment,
    function_names,
)
from infra.deploy.change_sets import STAGE_TAG
from infra.deploy.changes import Dialogue
from infra.deploy.deployer import Deployer
from infra.deploy.errors import DeployError
from infra.deploy.expressions import Document, filled_in, replaced
from infra.deploy.gateway_logs import ensure_gateway_may_log
from infra.deploy.resources import CHALICE_FOLDER, chalice_config
from infra.stage import aws
from infra.stage.stage import Stage

TRIGGERS = {
    "PASSWIRE_PASSES_STREAM": ("Push", "Stream"),
    "PASSWIRE_PUSH_QUEUE": ("PushWorker", "Queue"),
    "PASSWIRE_REGISTRATIONS_STREAM": ("PublishEvents", "Stream"),
}
"""Environment variables that name app.py's event sources, with their function and property in `resources()`."""
LOG_GROUP = "LogGroup"
"""Suffix of the logical ids of log groups; the API's is named after a function that does not exist."""
ROLE = "Role"
"""Suffix of the logical ids of roles; the API's is named after a function that does not exist."""
ROLE_PROPERTIES = {"ManagedPolicyArns"}
"""Properties that `resources()` adds to a role: the managed policy of tracing. Chalice gets `TRACING_STATEMENT`
instead, since it cannot delete a role with managed policies.
"""
TRACING_STATEMENT = {
    "Effect": "Allow",
    "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
    "Resource": "*",
}
"""These actions have no resources (AWS, "Sending trace data to AWS X-Ray")."""
ACTIVE = "Active"
"""Lambda's name of enabled tracing."""


class ChaliceDeployer:
    """A stage whose functions `chalice deploy` deploys.

    Args:
        stage: the name of the stage.
        on_progress: takes a line of progress.
        folder: Chalice's folder of the project.

    Raises:
        StageError: the name is not valid.
    """

    def __init__(self, stage: str, *, on_progress: Callable[[str], None], folder: Path = CHALICE_FOLDER) -> None:
        self._stage = stage
        self._folder = folder
        self._config = folder / "config.json"
        self._on_progress = on_progress
        self._deployer = Deployer(stage, on_progress=on_progress)

    def prepare(self, *, parameters: Mapping[str, str], dialogue: Dialogue) -> None:
        """Create what `chalice deploy` refers to, and write Chalice's configuration of the stage.

        Raises:
            DeployError: see `Deployer.change`, or the stage was deployed as one stack.
        """
        self._refuse_one_stack()
        self._deployer.check(parameters)
        self._deployer.change(self._template(), parameters=parameters, dialogue=dialogue)
        values = self._deployer.values()
        variables = filled_in(self._environment(), values)
        policies = {name: filled_in(policy, values) for name, policy in _policies().items()}
        self._write(variables, policies, settings=filled_in(_settings(), values))

    def finish(self, *, dialogue: Dialogue) -> Stage:
        """Configure what Chalice cannot; idempotent.

        Raises:
            DeployError: `chalice deploy` has not run, or see `Deployer.change`.
        """
        self._refuse_one_stack()
        self._deployer.change(self._template(), parameters={API_ID: self._api_id()}, dialogue=dialogue)
        ensure_gateway_may_log(on_progress=self._on_progress)
        values = self._deployer.values()
        for logical_id, properties in filled_in(_settings(), values).items():
            if logical_id.endswith(LOG_GROUP):
                _ensure_log_group(properties["LogGroupName"], days=_retention(logical_id))
                continue
            if logical_id == API:
                gateway.set_gateway(self._api_id(), properties, stage_name=API_STAGE_NAME)
                self._on_progress("the API is configured")
                continue
            function = function_names()[logical_id].replace("${Stage}", self._stage)
            for name in functions.set_function(function, properties):
                self._on_progress(f"{name} of {function} is set")
            for event in properties.get("Events", {}).values():
                changed = triggers.set_trigger(function, event["Properties"], own="Type" in event)
                self._on_progress(
                    f"the event source mapping of {function} {'is set' if changed else 'has not changed'}"
                )
        return Stage.open(self._stage)

    def forget(self) -> None:
        """Remove what `prepare` wrote."""
        config = json.loads(self._config.read_text())
        if config["stages"].pop(self._stage, None) is not None:
            self._config.write_text(json.dumps(config, indent=2) + "\n")
        for file in self._prepared().glob("*.json"):
            file.unlink()

    def _template(self) -> dict[str, Any]:
        return data_template([self._environment(), _settings(), *_policies().values()])

    def _environment(self) -> dict[str, Document]:
        settings = _settings()
        triggered = {
            variable: next(iter(settings[function]["Events"].values()))["Properties"][kind]
            for variable, (function, kind) in TRIGGERS.items()
        }
        return {**environment(), **triggered}

    def _write(
        self, variables: Mapping[str, str], policies: Mapping[str, Document], *, settings: Mapping[str, Any]
    ) -> None:
        """Write what `chalice deploy` reads. It removes reserved concurrency and tracing that are not configured."""
        reserved = {
            function: {"reserved_concurrency": int(count)}
            for function in policies
            if (count := settings.get(to_cfn_resource_name(function), {}).get("ReservedConcurrentExecutions"))
        }
        folder = self._prepared()
        folder.mkdir(parents=True, exist_ok=True)
        config = json.loads(self._config.read_text())
        traced = settings[API_FUNCTION]["Tracing"] == ACTIVE
        written: dict[str, dict[str, Any]] = {}
        for function, policy in policies.items():
            file = folder / config["lambda_functions"][function]["iam_policy_file"]
            statements = [*policy["Statement"], *([TRACING_STATEMENT] if traced else [])]
            file.write_text(json.dumps({**policy, "Statement": statements}, indent=2) + "\n")
            written[function] = {
                "iam_policy_file": file.relative_to(self._folder).as_posix(),
                **reserved.get(function, {}),
            }
            self._on_progress(f"wrote {self._shown(file)}")
        config["stages"][self._stage] = {
            "api_gateway_stage": API_STAGE_NAME,
            "environment_variables": dict(variables),
            "lambda_functions": written,
            "tags": {STAGE_TAG: self._stage},
            "xray": traced,
        }
        self._config.write_text(json.dumps(config, indent=2) + "\n")
        self._on_progress(f"wrote stage {self._stage} into {self._shown(self._config)}")

    def _prepared(self) -> Path:
        return self._folder / "prepared" / self._stage

    def _shown(self, file: Path) -> Path:
        return file.relative_to(self._folder.parent)

    def _api_id(self) -> str:
        """Return the API's id, as Chalice recorded it.

        Raises:
            DeployError: Chalice did not record one.
        """
        deployed = self._folder / "deployed" / f"{self._stage}.json"
        try:
            noted = json.loads(deployed.read_text())["resources"]
            return str(next(resource["rest_api_id"] for resource in noted if "rest_api_id" in resource))
        except (FileNotFoundError, StopIteration) as error:
            raise DeployError(
                f"{self._shown(deployed)} has no API; run: chalice deploy --stage {self._stage}"
            ) from error

    def _refuse_one_stack(self) -> None:
        if self._deployer.is_one_stack:
            raise DeployError(
                f"stage {self._stage} was deployed as one stack, with its functions; run: "
                f"{command('deploy', '--stage', self._stage)}"
            )


def _policies() -> dict[str, Document]:
    """Return the IAM policies by Chalice's names of the functions."""
    functions = chalice_config()["lambda_functions"]
    return {name: json.loads((CHALICE_FOLDER / one["iam_policy_file"]).read_text()) for name, one in functions.items()}


def _retention(log_group: str) -> int:
    functions = chalice_config()["lambda_functions"]
    days = {to_cfn_resource_name(name) + LOG_GROUP: one["log_retention_in_days"] for name, one in functions.items()}
    return int(days[log_group])


def _ensure_log_group(name: str, *, days: int) -> None:
    client = aws.client("logs")
    with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=name)
    client.put_retention_policy(logGroupName=name, retentionInDays=days)


def _settings() -> dict[str, dict[str, Any]]:
    """Return the properties that `resources()` adds to Chalice's resources, and that `finish` sets.

    Raises:
        DeployError: there is a property that `finish` cannot set.
    """
    found = additions()
    for logical_id, properties in found.items():
        unknown: set[str] = set()
        if logical_id.endswith(LOG_GROUP):
            unknown |= properties.keys() - {"LogGroupName"}
        elif logical_id.endswith(ROLE):
            unknown |= properties.keys() - ROLE_PROPERTIES
        elif logical_id == API:
            unknown |= properties.keys() - gateway.SETTABLE
            unknown |= properties["DefinitionBody"].keys() - gateway.SETTABLE_IN_BODY
        else:
            unknown |= properties.keys() - {"Events"} - functions.SETTABLE
            for event in properties.get("Events", {}).values():
                unknown |= event["Properties"].keys() - triggers.SETTABLE - set(triggers.SOURCES)
                unknown -= triggers.CREATED_WITH if "Type" in event else set()
        if unknown:
            raise DeployError(f"resources.json sets {', '.join(sorted(unknown))} of {logical_id}: `finish` cannot")
    return {
        logical_id: replaced(properties, _without_no_value)
        for logical_id, properties in found.items()
        if not logical_id.endswith(ROLE)
    }


def _without_no_value(expression: Document) -> Document:
    """Return an expression with an empty value if CloudFormation would omit the property: outputs cannot be omitted."""
    match expression:
        case {"Fn::If": [condition, value, {"Ref": "AWS::NoValue"}]}:
            return {"Fn::If": [condition, value, ""]}
    return expression
