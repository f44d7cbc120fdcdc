"""Names that exist or are not free yet: of secrets, of queues, and of whatever a change set would create."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from .limits import OK, Handler, Json, Limits, Module, Names, Response, json_error

EARLY_VALIDATION = (
    "The following hook(s)/validation failed: [AWS::EarlyValidation::ResourceExistenceCheck]. To troubleshoot Early "
    "Validation errors, use the DescribeEvents API for detailed failure information."
)


class FreedSecretNames:
    """Refuses the name of a deleted secret for a time."""

    def __init__(self, limits: Limits, module: Module, inner: Handler) -> None:
        self._limits = limits
        self._module = module
        self._inner = inner
        self._names = Names()

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        data = json.loads(body) if body and action in ("CreateSecret", "DeleteSecret") else {}
        if action == "CreateSecret" and self._scheduled(data.get("Name", "")):
            message = "You can't create this secret because a secret with this name is already scheduled for deletion."
            return json_error("InvalidRequestException", message, 400)
        response = await self._inner(method, path, headers, body, query)
        if action == "DeleteSecret" and response[0] == OK and data.get("ForceDeleteWithoutRecovery"):
            self._names.mark_deleted(json.loads(response[2])["Name"])
        return response

    def _scheduled(self, name: str) -> bool:
        known = self._module._secrets.get(name)
        if known is not None and known.get("DeletedDate"):
            return True
        return not self._names.is_free(name, after=self._limits.secret_name_seconds)


class Queues:
    """Refuses the name of a deleted queue for a time, also to CloudFormation."""

    def __init__(self, limits: Limits, sqs: Module, provisioners: Module) -> None:
        self._limits = limits
        self._sqs = sqs
        self._provisioners = provisioners
        self._names = Names()

    def install(self) -> None:
        create, delete = (self._sqs._HANDLERS[action] for action in ("CreateQueue", "DeleteQueue"))
        handlers = self._provisioners._RESOURCE_HANDLERS["AWS::SQS::Queue"]
        stack_create, stack_delete = handlers["create"], handlers["delete"]

        def create_queue(data: Json, url: str) -> object:
            self._require_free(self._url(data.get("QueueName", "")))
            return create(data, url)

        def delete_queue(data: Json, url: str) -> object:
            answer = delete(data, url)
            self._names.mark_deleted(self._url(url.rpartition("/")[2]))
            return answer

        def create_in_stack(logical_id: str, props: Json, stack_name: str) -> object:
            name, _ = self._provisioners._sqs_queue_name(props, stack_name, logical_id)
            self._require_free(self._url(name))
            return stack_create(logical_id, props, stack_name)

        def delete_in_stack(physical_id: str, props: Json) -> object:
            existed = physical_id in self._sqs._queues
            answer = stack_delete(physical_id, props)
            if existed:
                self._names.mark_deleted(self._url(physical_id.rpartition("/")[2]))
            return answer

        self._sqs._HANDLERS.update(CreateQueue=create_queue, DeleteQueue=delete_queue)
        handlers.update(create=create_in_stack, delete=delete_in_stack)

    def _url(self, name: str) -> str:
        url: str = self._sqs._queue_url_for_account(self._provisioners.get_account_id(), name)
        return url

    def _require_free(self, url: str) -> None:
        if not self._names.is_free(url, after=self._limits.queue_name_seconds):
            raise self._sqs._Err(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )


class ChangeSets:
    """Refuses a change set that would create an existing name (early validation, since November 2025)."""

    def __init__(self, limits: Limits, cloudformation: Module, changesets: Module, handlers: Module) -> None:
        self._limits = limits
        self._cloudformation = cloudformation
        self._changesets = changesets
        self._handlers = handlers
        self._events: dict[str, list[Json]] = {}

    def install(self) -> None:
        actions = self._handlers._ACTION_HANDLERS
        create, describe = actions["CreateChangeSet"], actions["DescribeEvents"]
        delete = self._handlers._delete_stack_async

        async def delete_stack(stack_name: str, *arguments: object, **options: object) -> None:
            """Note when a stack was deleted, which AWS tells and ministack does not."""
            stack = self._cloudformation._stacks.get(stack_name)
            await delete(stack_name, *arguments, **options)
            if stack is not None:
                stack["DeletionTime"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        self._handlers._delete_stack_async = delete_stack

        def create_change_set(params: Json) -> Response:
            known = set(self._cloudformation._change_sets)
            response: Response = create(params)
            for change_set_id in set(self._cloudformation._change_sets) - known:
                self._validate(self._cloudformation._change_sets[change_set_id])
            return response

        def describe_events(params: Json) -> Response:
            name = self._handlers._p(params, "ChangeSetName")
            _, change_set = self._changesets._find_change_set(name, self._handlers._p(params, "StackName"))
            events = self._events.get(change_set["ChangeSetId"]) if name and change_set else None
            if not events:
                answer: Response = describe(params)
                return answer
            # as for a stack's own events, which ministack knows how to write
            stack = self._cloudformation._stacks[change_set["StackName"]]
            before = stack.get("_operation_events")
            stack["_operation_events"] = events
            others = {key: value for key, value in params.items() if key != "ChangeSetName"}
            try:
                written: Response = describe({**others, "StackName": change_set["StackName"]})
            finally:
                stack["_operation_events"] = before or []
            return written

        actions.update(CreateChangeSet=create_change_set, DescribeEvents=describe_events)

    def _validate(self, change_set: Json) -> None:
        if not self._limits.existing_names or change_set["ChangeSetType"] == "IMPORT":
            return
        stack = self._cloudformation._stacks[change_set["StackName"]]
        with self._changesets._stack_region_context(stack, change_set["StackId"]):
            conflicts = list(self._existing(change_set))
        if not conflicts:
            return
        change_set.update(Status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason=EARLY_VALIDATION, Changes=[])
        self._events[change_set["ChangeSetId"]] = [
            {
                "EventId": f"{change_set['ChangeSetName']}-{logical_id}",
                "StackId": change_set["StackId"],
                "OperationId": change_set["ChangeSetName"],
                "OperationType": "CREATE_CHANGESET",
                "OperationStatus": "FAILED",
                "EventType": "VALIDATION_ERROR",
                "LogicalResourceId": logical_id,
                "PhysicalResourceId": name,
                "ResourceType": resource_type,
                "Timestamp": change_set["CreationTime"],
                "ValidationFailureMode": "FAIL",
                "ValidationName": "NAME_CONFLICT_VALIDATION",
                "ValidationStatus": "FAILED",
                "ValidationStatusReason": f"{resource_type} with identifier '{name}' already exists.",
                "ValidationPath": f"/Resources/{logical_id}",
            }
            for logical_id, resource_type, name in conflicts
        ]

    def _existing(self, change_set: Json) -> Iterator[tuple[str, str, str]]:
        """The logical ids, types and names of resources that would be added and exist."""
        resolved = self._changesets._resolve_props_for_diff(
            change_set["_template"], change_set["_resolved_params"], change_set["StackName"], change_set["StackId"]
        )
        for change in change_set["Changes"]:
            added = change["ResourceChange"]
            resource_type, logical_id = added["ResourceType"], added["LogicalResourceId"]
            properties = resolved["Resources"][logical_id].get("Properties") or {}
            if added["Action"] == "Add" and (name := self._existing_name(resource_type, properties)):
                yield logical_id, resource_type, name

    def _existing_name(self, resource_type: str, properties: Json) -> str | None:
        """The name of the resource if another one of its type has it already, else None."""
        if resource_type == "AWS::SQS::Queue":
            sqs, name = self._changesets._sqs, properties.get("QueueName")
            return name if isinstance(name, str) and name in sqs._queue_name_to_url else None
        keys, problem = self._changesets._IMPORT_LOOKUPS.get(resource_type, ((), None))
        name = properties.get(keys[0]) if len(keys) == 1 else None
        return name if isinstance(name, str) and not problem(name) else None
