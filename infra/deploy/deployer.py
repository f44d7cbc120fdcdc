"""One stack, one command: package, upload, change set, execute, follow. The same for AWS and for the embedded one.

Where it deploys to is boto3's to say: credentials, region and `AWS_ENDPOINT_URL` of the environment.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import boto3

from infra.deploy.account import CONCURRENCY, check_concurrency, check_region
from infra.deploy.bucket import DeployBucket
from infra.deploy.chalice.data_stack import API_ID
from infra.deploy.change_sets import RETAINED_TYPES, ChangeSet, CloudStack, Dialogue, ResourceChange
from infra.deploy.expressions import PREFIX
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
from infra.stage.aws_errors import is_embedded
from infra.stage.errors import DeployError

RESERVED_NAMES = {"deploy"}
"""The templates bucket of a stage `deploy` would have the name of the deploy bucket."""
QUEUE_NAME_SECONDS = 61.0
"""How long SQS keeps a deleted queue's name from being used again (AWS, "DeleteQueue": 60 seconds)."""
DEVICES = "DevicesTable"
"""The logical id of the table of devices."""
STAGE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,22}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stage, by its outputs."""

    stage: str
    outputs: Mapping[str, str]

    @property
    def api_url(self) -> str:
        """The base that `/v1/...` follows.

        Raises:
            DeployError: `chalice deploy` has not made the API yet, or `finish` has not noted it.
        """
        if "ApiUrl" not in self.outputs:
            raise DeployError(
                f"stage {self.stage} has no API yet; run: chalice deploy --stage {self.stage}, "
                f"then: python -m infra finish --stage {self.stage}"
            )
        return self.outputs["ApiUrl"]

    @property
    def tables(self) -> dict[str, str]:
        """Table names by role."""
        roles = ("passes", "versions", "registrations", "devices")
        return {role: self.outputs[f"{role.title()}TableName"] for role in roles}

    @property
    def queues(self) -> dict[str, str]:
        """Queue URLs by role."""
        return {
            "push": self.outputs["PushQueueUrl"],
            "dead_letter": self.outputs["DeadLetterQueueUrl"],
            "stream_failure": self.outputs["StreamFailureQueueUrl"],
            "held_removals": self.outputs["HeldRemovalsQueueUrl"],
        }

    @property
    def functions(self) -> dict[str, str]:
        """Names of the Lambda functions by role."""
        names = {output: name for output, name in self.outputs.items() if output.endswith("FunctionName")}
        return {snake_case(output.removesuffix("FunctionName")): name for output, name in names.items()}


def snake_case(name: str) -> str:
    """`PushWorker` as `push_worker`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class Deployer:
    """Deploys one stage.

    Args:
        stage: lower case letters, digits and hyphens.
        on_progress: takes a line of progress.

    Raises:
        DeployError: the stage's name is none.
    """

    def __init__(self, stage: str, *, on_progress: Callable[[str], None]) -> None:
        if not STAGE_NAME.fullmatch(stage):
            raise DeployError(
                f"stage {stage!r}: a name has up to 24 lower case letters, digits and hyphens, "
                "begins with a letter and does not end with a hyphen"
            )
        if stage in RESERVED_NAMES:
            raise DeployError(
                f"stage {stage!r}: its templates bucket would have the name of the bucket that code is deployed from; "
                "choose another name"
            )
        self.stage = stage
        self.stack_name = f"passwire-{stage}"
        self._on_progress = on_progress
        self._stack = CloudStack(self.stack_name, stage=stage)

    def deploy(self, package: Callable[[], Package], *, parameters: Mapping[str, str], dialogue: Dialogue) -> Stack:
        """Bring the stage to the state of a package.

        Args:
            package: makes it; called only where it can be deployed.
            parameters: of the template; one that is not given keeps its value of the last deployment.
            dialogue: watches, and decides; not asked where nothing changes.

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
        return self.describe()

    def diff(self, package: Callable[[], Package], *, parameters: Mapping[str, str]) -> list[ResourceChange]:
        """What `deploy` would do to which resource; nothing is done.

        Raises:
            PackagingError, DeployError: as `deploy`.
        """
        self._refuse_push_host(parameters)
        self._refuse_chalice_stage()
        self.check(parameters)
        template = with_retained_names(self._with_code(self._made(package)), self.location())
        with self._changes(template, parameters) as change_set:
            return change_set.changes

    def describe(self) -> Stack:
        """The stage as it is deployed.

        Raises:
            DeployError: it is not.
        """
        stack = self._stack.described()
        if stack is None or not stack.get("Outputs"):
            raise DeployError(f"stage {self.stage} is not deployed; run: python -m infra deploy --stage {self.stage}")
        return Stack(
            self.stage,
            {
                output["OutputKey"]: output["OutputValue"]
                for output in stack.get("Outputs", [])
                if not output["OutputKey"].startswith(PREFIX)
            },
        )

    def destroy(self, *, with_data: bool, dialogue: Dialogue) -> dict[str, list[str]]:
        """Delete the stage's stack and code; tables, templates and secrets stay unless `with_data`.

        Returns:
            What outlives a stack, by type of resource: what was kept, or deleted.

        Raises:
            DeployError: there is nothing to delete, or something could not be deleted; what was deleted before is gone.
        """
        named = retained_names(resources(), self.location())
        kept = {kind: [name for name in names if is_there(kind, name)] for kind, names in named.items()}
        if not self._stack.described() and not (with_data and any(kept.values())):
            raise DeployError(f"stage {self.stage} is not deployed; there is no stack {self.stack_name}")
        self._on_progress(f"deleting stack {self.stack_name}")
        self._stack.delete(show=dialogue.event)
        self._bucket().forget(self.stage)
        if with_data:
            delete_retained(self.stage, kept, on_progress=self._on_progress)
        return kept

    def change(self, template: Template, *, parameters: Mapping[str, str], dialogue: Dialogue) -> None:
        """Make the stack what a template says, after a look at what that changes.

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
                self._stack.carry_out(change_set, show=dialogue.event)
            except KeyboardInterrupt:
                if change_set.begun:
                    self._on_progress(
                        f"CloudFormation goes on without this command; look at it with: aws cloudformation "
                        f"describe-stack-events --stack-name {self.stack_name}"
                    )
                raise
        self._stack.protect()

    def check(self, parameters: Mapping[str, str]) -> None:
        """Refuse, before anything is made, what CloudFormation would refuse in the middle of a deployment.

        Args:
            parameters: those that are given; the others keep their values of the last deployment.

        Raises:
            DeployError: a domain has no certificate, the region lacks a service, or the account cannot reserve the
                concurrency.
        """
        self._stack.refuse_if_busy()
        before = self._stack.parameters()
        values = {**before, **parameters}
        if values.get("DomainName") and not values.get("CertificateArn"):
            raise DeployError(
                f"DomainName {values['DomainName']}: needs CertificateArn, the ACM certificate of that domain in this "
                "region; add --set CertificateArn=arn:aws:acm:..."
            )
        check_region(self.location().region)
        check_concurrency(
            values, reserved_now=sum(int(before.get(name, 0)) for name in CONCURRENCY), on_progress=self._on_progress
        )

    def registered_devices(self) -> int:
        """How many devices are registered, as DynamoDB counts them every six hours; at least 1 if there is any."""
        stack = self._stack.described() or {}
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        return _count(outputs["DevicesTableName"]) if "DevicesTableName" in outputs else 0

    def location(self) -> StageLocation:
        """Where this stage is: the account and region of the environment."""
        session = boto3.Session()
        account = session.client("sts").get_caller_identity()["Account"]
        return StageLocation(stage=self.stage, account=account, region=session.client("sts").meta.region_name)

    @property
    def by_chalice(self) -> bool:
        """Whether `chalice deploy` makes this stage's functions: only such a stage's stack is told the API's id."""
        return API_ID in self._stack.parameters()

    @property
    def is_one_stack(self) -> bool:
        """Whether this stage's functions are in its stack."""
        return bool((self._stack.described() or {}).get("Outputs")) and not self.by_chalice

    def values(self) -> dict[str, str]:
        """The outputs that only `prepare` and `finish` read."""
        outputs = (self._stack.described() or {}).get("Outputs", [])
        return {o["OutputKey"]: o["OutputValue"] for o in outputs if o["OutputKey"].startswith(PREFIX)}

    def exists(self) -> bool:
        """Whether there is a stack of this stage, more than one that was made to look at."""
        stack = self._stack.described()
        return stack is not None and stack["StackStatus"] != "REVIEW_IN_PROGRESS"

    @contextlib.contextmanager
    def _changes(self, template: Template, parameters: Mapping[str, str]) -> Iterator[ChangeSet]:
        self._stack.refuse_if_busy()
        given = {"Stage": self.stage, "Commit": read_checkout().name, **parameters}
        with self._stack.change_set(
            self._readable(encoded(template)), declared=set(template["Parameters"]), parameters=given
        ) as change_set:
            yield change_set

    def _ask_about_address(self, change_set: ChangeSet, parameters: Mapping[str, str], dialogue: Dialogue) -> None:
        """Have a person decide where registered devices would lose the address that they call.

        Raises:
            DeployError: the person declined.
        """
        if not self.exists():
            return
        stack = self._stack.described() or {}
        now = next((o["OutputValue"] for o in stack.get("Outputs", []) if o["OutputKey"] == "WebServiceUrl"), "")
        before = self._stack.parameters()
        after = {**before, **parameters}
        new_api = bool(before.get(API_ID)) and after.get(API_ID) != before.get(API_ID) and not address_of(before)
        changed = address_of(before) != address_of(after) or new_api
        lost = [change for change in change_set.changes if change.loses_address]
        if not (changed or lost) or not (devices := self.registered_devices()):
            return
        then = address_of(after) or "the API's own address"
        ends = f" It also changes {', '.join(c.logical_id for c in lost)}, which lead there." if lost else ""
        question = (
            f"Registered devices: {devices}. They call {now} for as long as they hold their passes. Where that "
            f"address no longer leads to this stage, they get no more updates.{ends} Passes issued from now on contain "
            f"{then}. Change it?"
        )
        if not dialogue.confirms(question):
            raise DeployError("declined; nothing was changed")

    def _await_queue_names(self) -> None:
        """Wait until the names of queues that were just deleted can be used again."""
        if self.exists() or is_embedded() or (deleted_at := self._stack.deleted_at()) is None:
            return
        if (seconds := deleted_at + QUEUE_NAME_SECONDS - time.time()) > 0:
            self._on_progress(f"waiting {seconds:.0f} s: SQS frees a queue's name 60 seconds after it was deleted")
            time.sleep(seconds)

    def _readable(self, body: bytes) -> dict[str, str]:
        """The template as CloudFormation takes it."""
        if len(body) <= BODY_LIMIT_BYTES:
            return {"TemplateBody": body.decode()}
        bucket = self._bucket()
        key = bucket.key(self.stage, body, "json")
        bucket.put(key, body)
        return {"TemplateURL": bucket.url(key)}

    def _made(self, package: Callable[[], Package]) -> Package:
        self._stack.refuse_if_busy()  # before packaging takes its seconds
        self._on_progress(f"packaging stage {self.stage}")
        return package()

    def _with_uploaded_code(self, package: Package) -> Template:
        code = package.zip_file.read_bytes()
        bucket = self._bucket()
        uploaded = bucket.put(bucket.key(self.stage, code, "zip"), code)
        self._on_progress(
            f"uploaded {len(code) / 1e6:.1f} MB of code" if uploaded else "the code is what was uploaded last"
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
        if self.by_chalice:
            raise DeployError(
                f"stage {self.stage} is one of `chalice deploy`: run `python -m infra prepare --stage {self.stage}`, "
                f"`chalice deploy --stage {self.stage}` and `python -m infra finish --stage {self.stage}`"
            )

    def _refuse_push_host(self, parameters: Mapping[str, str]) -> None:
        """Refuse to push to another host than Apple's production one, whether it is given now or was before."""
        given = parameters.get(PARAMETER)
        url = given if given is not None else self._stack.parameters().get(PARAMETER, PRODUCTION)
        if problem := push_host_problem(url, local=is_embedded()):
            raise DeployError(
                f"stage {self.stage}: {PARAMETER}: {problem}; nothing was changed. Deploy with "
                f"--set {PARAMETER}={PRODUCTION}"
            )

    def _left_behind(self, template: Template) -> dict[str, dict[str, str]]:
        """What an earlier stack left for a new one: by logical id, how CloudFormation identifies it."""
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
        """Take over the tables and the bucket that an earlier stack of this stage left, data and all."""
        left = self._left_behind(template)
        if not left:
            return
        names = ", ".join(sorted(name for identifier in left.values() for name in identifier.values()))
        devices = _count(left[DEVICES]["TableName"]) if DEVICES in left else 0
        if devices and not address_of(parameters):
            self._on_progress(
                f"registered devices: {devices}; the API that they call went with the earlier deployment, and the new "
                "one has another address: they get no updates until their passes are issued again. If the earlier one "
                "had a domain, give it again (--set DomainName=... or --web-service-url)"
            )
        if not dialogue.allows(f"{names} are there from an earlier deployment of stage {self.stage}; take them over?"):
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
            self._stack.carry_out(change_set, show=dialogue.event)

    def _remove_what_never_ran(self, dialogue: Dialogue) -> None:
        status = (self._stack.described() or {}).get("StackStatus")
        question = (
            f"the first deployment of stage {self.stage} failed ({status}) and nothing of it runs; "
            "remove what is left of it and deploy again? Tables and templates stay"
        )
        if not dialogue.allows(question):
            raise DeployError(
                f"stack {self.stack_name} is in {status}, which CloudFormation cannot change, only delete; "
                f"run: python -m infra destroy --stage {self.stage}"
            )
        self._stack.delete(show=dialogue.event)


def _count(table: str) -> int:
    """The rows of a table, as DynamoDB counts them every six hours; at least 1 if there is any, 0 without the table."""
    dynamodb = boto3.client("dynamodb")
    try:
        counted = int(dynamodb.describe_table(TableName=table)["Table"].get("ItemCount", 0))
        return counted or int(dynamodb.scan(TableName=table, Limit=1)["Count"])
    except dynamodb.exceptions.ResourceNotFoundException:
        return 0


__all__ = ["DeployError", "Deployer", "ResourceChange", "Stack"]
