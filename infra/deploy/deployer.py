"""Deploys a stage as one stack: packages, uploads, creates a change set, executes and follows it.

The environment decides where: credentials, region and `AWS_ENDPOINT_URL`. That may be an embedded AWS.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from infra.core.program import command
from infra.deploy.account import CONCURRENCY, check_concurrency, check_push_rate, check_region
from infra.deploy.bucket import DeployBucket
from infra.deploy.chalice.data_stack import API_ID
from infra.deploy.change_sets import ChangeSet, CloudStack
from infra.deploy.changes import RETAINED_TYPES, Dialogue, ResourceChange
from infra.deploy.errors import DeployError
from infra.deploy.gateway_logs import ensure_gateway_may_log
from infra.deploy.git import read_checkout
from infra.deploy.package import Package
from infra.deploy.push_host import PARAMETER, PRODUCTION, push_host_problem
from infra.deploy.resources import resources
from infra.deploy.retained import delete_retained, is_there
from infra.deploy.template import (
    BODY_LIMIT_BYTES,
    NAME_PROPERTIES,
    StageLocation,
    Template,
    encoded,
    retained_names,
    retained_only,
    with_code,
    with_retained_names,
)
from infra.deploy.web_service_url import address_of
from infra.stage import aws
from infra.stage.aws import is_embedded
from infra.stage.stage import INTERNAL_OUTPUT_PREFIX, Stage, check_stage_name, outputs_of, stack_name

QUEUE_NAME_SECONDS = 61.0
"""How long the name of a deleted queue stays taken (AWS, "DeleteQueue": 60 seconds)."""
EMBEDDED_QUEUE_NAME_SECONDS = 4.0
"""The same on the embedded AWS (`infra/local/strict/`), with a second for the rounding of the deletion time."""
DIFF_FOLDER = "diff"
"""A stage's folder in the deploy bucket for what `diff` uploads: credentials for `diff` alone can write there, and
`deploy` does not read it.
"""
DEVICES = "DevicesTable"
"""The logical id of the devices table."""


class Deployer:
    """Deploys one stage.

    Args:
        stage: the name of the stage.
        on_progress: takes a line of progress.
        body_limit_bytes: a larger template goes to CloudFormation through the bucket.

    Raises:
        StageError: the stage's name is not valid.
    """

    def __init__(
        self, stage: str, *, on_progress: Callable[[str], None], body_limit_bytes: int = BODY_LIMIT_BYTES
    ) -> None:
        self.stage = check_stage_name(stage)
        self.stack_name = stack_name(stage)
        self._on_progress = on_progress
        self._body_limit_bytes = body_limit_bytes
        self._stack = CloudStack(self.stack_name, stage=stage)

    def deploy(self, package: Callable[[], Package], *, parameters: Mapping[str, str], dialogue: Dialogue) -> Stage:
        """Deploy a package.

        Args:
            package: builds the package; called only if it can be deployed.
            parameters: stack parameters; those that are not given keep their values of the last deployment.
            dialogue: shows events and makes decisions; not asked if nothing changes.

        Raises:
            PackagingError: the app could not be packaged.
            DeployError: AWS refused, the change was declined, a table would be lost, or it was rolled back.
        """
        self._refuse_push_host(parameters)
        self._refuse_chalice_stage()
        self.check(parameters)
        made = self._made(package)
        template = self._with_uploaded_code(made)
        self.change(template, parameters=parameters, dialogue=dialogue)
        bucket = self._bucket()
        bucket.prune(self.stage, used=bucket.key(self.stage, made.zip_file.read_bytes(), "zip"))
        return Stage.open(self.stage)

    def diff(self, package: Callable[[], Package], *, parameters: Mapping[str, str]) -> list[ResourceChange]:
        """Return the changes that `deploy` would make, without making them.

        Raises:
            PackagingError, DeployError: see `deploy`.
        """
        self._refuse_push_host(parameters)
        self._refuse_chalice_stage()
        self.check(parameters)
        template = with_retained_names(self._with_code(self._made(package)), self.location())
        with self._changes(template, parameters, folder=f"{self.stage}/{DIFF_FOLDER}") as change_set:
            return change_set.changes

    def destroy(self, *, with_data: bool, dialogue: Dialogue) -> dict[str, list[str]]:
        """Delete the stage's stack and code, and with `with_data` its tables, templates and secrets.

        Returns:
            The names of the tables and the bucket, which were kept or deleted, by type of resource.

        Raises:
            DeployError: there is nothing to delete, or a resource could not be deleted; others may have been deleted.
        """
        named = retained_names(resources(), self.location())
        kept = {kind: [name for name in names if is_there(kind, name)] for kind, names in named.items()}
        if not self._stack.described() and not (with_data and any(kept.values())):
            raise DeployError(f"stage {self.stage} is not deployed; there is no stack {self.stack_name}")
        self._on_progress(f"deleting stack {self.stack_name}")
        self._stack.delete(on_event=dialogue.event)
        self._bucket().forget(self.stage)
        if with_data:
            delete_retained(self.stage, kept, on_progress=self._on_progress)
        return kept

    def change(self, template: Template, *, parameters: Mapping[str, str], dialogue: Dialogue) -> None:
        """Change the stage to what a template defines, after a review of the changes.

        Raises:
            DeployError: AWS refused, the change was declined, a table would be lost, or it was rolled back.
        """
        self._refuse_push_host(parameters)
        if self._stack.never_ran:
            self._remove_what_never_ran(dialogue)
        self._await_queue_names()
        template = with_retained_names(template, self.location())
        self._adopt(template, parameters, dialogue)
        with self._changes(template, parameters) as change_set:
            if not change_set.differs:
                self._on_progress("nothing to change")
                self._stack.protect()
                return
            self._ask_about_address(change_set, parameters, dialogue)
            if change_set.changes and not dialogue.review(change_set.changes):
                raise DeployError("declined; nothing was changed")
            ensure_gateway_may_log(on_progress=self._on_progress)
            try:
                self._stack.execute(change_set, on_event=dialogue.event)
            except KeyboardInterrupt:
                if change_set.begun:
                    self._on_progress(
                        f"CloudFormation continues without this command; to follow it, run: aws cloudformation "
                        f"describe-stack-events --stack-name {self.stack_name}"
                    )
                raise
        self._stack.protect()

    def check(self, parameters: Mapping[str, str]) -> None:
        """Check, before anything is created, what CloudFormation would refuse in the middle of a deployment.

        Args:
            parameters: stack parameters; those that are not given keep their values of the last deployment.

        Raises:
            DeployError: a domain has no certificate, phones would send more requests than the gateway lets through,
                the region lacks a service, or the account cannot reserve the concurrency.
        """
        self._stack.refuse_if_busy()
        before = self._stack.parameters()
        values = {**before, **parameters}
        if values.get("DomainName") and not values.get("CertificateArn"):
            raise DeployError(
                f"DomainName {values['DomainName']}: requires CertificateArn, the domain's ACM certificate in this "
                "region; add --set CertificateArn=arn:aws:acm:..."
            )
        check_push_rate(values)
        check_region(self.location().region)
        check_concurrency(
            values, reserved_now=sum(int(before.get(name, 0)) for name in CONCURRENCY), on_progress=self._on_progress
        )

    def registered_devices(self) -> int:
        """Return the number of registered devices, updated every six hours; at least 1 if there is any."""
        outputs = outputs_of(self._stack.described())
        return _count(outputs["DevicesTableName"]) if "DevicesTableName" in outputs else 0

    def location(self) -> StageLocation:
        """Return the account and region of the environment."""
        account, region = aws.account_and_region()
        return StageLocation(stage=self.stage, account=account, region=region)

    @property
    def is_deployed_by_chalice(self) -> bool:
        """True if `chalice deploy` deploys this stage's functions: only then has its stack a parameter ApiId."""
        return API_ID in self._stack.parameters()

    @property
    def is_one_stack(self) -> bool:
        """True if this stage's functions are part of its stack."""
        return bool(outputs_of(self._stack.described())) and not self.is_deployed_by_chalice

    def values(self) -> dict[str, str]:
        """Return the internal outputs, which `prepare` and `finish` read."""
        outputs = outputs_of(self._stack.described())
        return {name: value for name, value in outputs.items() if name.startswith(INTERNAL_OUTPUT_PREFIX)}

    def exists(self) -> bool:
        """Return whether the stage's stack exists, other than for the review of a change set."""
        stack = self._stack.described()
        return stack is not None and stack["StackStatus"] != "REVIEW_IN_PROGRESS"

    @contextlib.contextmanager
    def _changes(self, template: Template, parameters: Mapping[str, str], *, folder: str = "") -> Iterator[ChangeSet]:
        self._stack.refuse_if_busy()
        given = {"Stage": self.stage, "Commit": read_checkout().name, **parameters}
        with self._stack.change_set(
            self._readable(encoded(template), folder=folder or self.stage),
            declared=set(template["Parameters"]),
            parameters=given,
        ) as change_set:
            yield change_set

    def _ask_about_address(self, change_set: ChangeSet, parameters: Mapping[str, str], dialogue: Dialogue) -> None:
        """Ask a person to confirm a change after which registered devices call a URL that no longer exists.

        Raises:
            DeployError: the person declined.
        """
        if not self.exists():
            return
        now = outputs_of(self._stack.described()).get("WebServiceUrl", "")
        before = self._stack.parameters()
        after = {**before, **parameters}
        new_api = bool(before.get(API_ID)) and after.get(API_ID) != before.get(API_ID) and not address_of(before)
        changed = address_of(before) != address_of(after) or new_api
        lost = [change for change in change_set.changes if change.loses_address]
        if not (changed or lost) or not (devices := self.registered_devices()):
            return
        then = address_of(after) or "the URL of the API"
        ends = f" It also changes {', '.join(c.logical_id for c in lost)}, which lead there." if lost else ""
        question = (
            f"Registered devices: {devices}. They call {now} for as long as they have their passes. If that URL no "
            f"longer leads to this stage, they get no more updates.{ends} New passes will contain {then}. Change it?"
        )
        if not dialogue.confirms(question):
            raise DeployError("declined; nothing was changed")

    def _await_queue_names(self) -> None:
        """Wait until the names of queues that were just deleted are available again."""
        if self.exists() or (deleted_at := self._stack.deleted_at()) is None:
            return
        name_seconds = EMBEDDED_QUEUE_NAME_SECONDS if is_embedded() else QUEUE_NAME_SECONDS
        if (seconds := deleted_at + name_seconds - time.time()) > 0:
            self._on_progress(f"waiting {seconds:.0f} s: SQS releases a queue's name 60 seconds after its deletion")
            time.sleep(seconds)

    def _readable(self, body: bytes, *, folder: str) -> dict[str, str]:
        """Return a template as arguments of CreateChangeSet; one that is too large for a request is uploaded."""
        if len(body) <= self._body_limit_bytes:
            return {"TemplateBody": body.decode()}
        bucket = self._bucket()
        key = bucket.key(folder, body, "json")
        bucket.put(key, body)
        return {"TemplateURL": bucket.url(key)}

    def _made(self, package: Callable[[], Package]) -> Package:
        self._stack.refuse_if_busy()  # before packaging, which takes seconds
        self._on_progress(f"packaging stage {self.stage}")
        return package()

    def _with_uploaded_code(self, package: Package) -> Template:
        code = package.zip_file.read_bytes()
        bucket = self._bucket()
        uploaded = bucket.put(bucket.key(self.stage, code, "zip"), code)
        self._on_progress(
            f"uploaded {len(code) / 1e6:.1f} MB of code"
            if uploaded
            else "the code has not changed since the last upload"
        )
        return self._with_code(package)

    def _with_code(self, package: Package) -> Template:
        bucket = self._bucket()
        key = bucket.key(self.stage, package.zip_file.read_bytes(), "zip")
        return with_code(package.template, bucket=bucket.name, key=key)

    def _bucket(self) -> DeployBucket:
        location = self.location()
        return DeployBucket(account=location.account, region=location.region)

    def _refuse_chalice_stage(self) -> None:
        if self.is_deployed_by_chalice:
            raise DeployError(
                f"stage {self.stage} is deployed with Chalice: run `{command('prepare', '--stage', self.stage)}`, "
                f"`chalice deploy --stage {self.stage}` and `{command('finish', '--stage', self.stage)}`"
            )

    def _refuse_push_host(self, parameters: Mapping[str, str]) -> None:
        """Refuse an APNs host other than Apple's production host, whether it is given now or was deployed before."""
        given = parameters.get(PARAMETER)
        url = given if given is not None else self._stack.parameters().get(PARAMETER, PRODUCTION)
        if problem := push_host_problem(url, local=is_embedded()):
            raise DeployError(
                f"stage {self.stage}: {PARAMETER}: {problem}; nothing was changed. Deploy with "
                f"--set {PARAMETER}={PRODUCTION}"
            )

    def _left_behind(self, template: Template) -> dict[str, dict[str, str]]:
        """Return the tables and the bucket of a deleted stack: CloudFormation's identifiers by logical id."""
        if self.exists():
            return {}
        found: dict[str, dict[str, str]] = {}
        for logical_id, resource in template["Resources"].items():
            if (kind := resource["Type"]) in RETAINED_TYPES:
                key = NAME_PROPERTIES[kind]
                name = resource["Properties"][key]
                if is_there(kind, name):
                    found[logical_id] = {key: name}
        return found

    def _adopt(self, template: Template, parameters: Mapping[str, str], dialogue: Dialogue) -> None:
        """Take over the tables and the bucket of a deleted stack of this stage, with their data."""
        left = self._left_behind(template)
        if not left:
            return
        names = ", ".join(sorted(name for identifier in left.values() for name in identifier.values()))
        devices = _count(left[DEVICES]["TableName"]) if DEVICES in left else 0
        if devices and not address_of(parameters):
            self._on_progress(
                f"registered devices: {devices}; the API that they call was deleted with the earlier deployment, and "
                "the new one has another URL: they get no updates until their passes are issued again. If the earlier "
                "one had a domain, set it again (--set DomainName=... or --web-service-url)"
            )
        if not dialogue.allows(f"{names} exist from an earlier deployment of stage {self.stage}; take them over?"):
            raise DeployError("declined; nothing was changed")
        only = retained_only(template, left.keys())
        imports = [
            {
                "ResourceType": only["Resources"][logical_id]["Type"],
                "LogicalResourceId": logical_id,
                "ResourceIdentifier": identifier,
            }
            for logical_id, identifier in left.items()
        ]
        with self._stack.change_set({"TemplateBody": encoded(only).decode()}, imports=imports) as change_set:
            self._stack.execute(change_set, on_event=dialogue.event)

    def _remove_what_never_ran(self, dialogue: Dialogue) -> None:
        status = (self._stack.described() or {}).get("StackStatus")
        question = (
            f"the first deployment of stage {self.stage} failed ({status}), so that nothing runs; "
            "delete its stack and deploy again? Tables and templates are kept"
        )
        if not dialogue.allows(question):
            raise DeployError(
                f"stack {self.stack_name} is in {status}, and CloudFormation can only delete it; "
                f"run: {command('destroy', '--stage', self.stage)}"
            )
        self._stack.delete(on_event=dialogue.event)


def _count(table: str) -> int:
    """Return a table's item count, updated every six hours; at least 1 if there is any item, 0 without the table."""
    dynamodb = aws.client("dynamodb")
    try:
        counted = int(dynamodb.describe_table(TableName=table)["Table"].get("ItemCount", 0))
        return counted or int(dynamodb.scan(TableName=table, Limit=1)["Count"])
    except dynamodb.exceptions.ResourceNotFoundException:
        return 0
