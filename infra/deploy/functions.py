"""Sets the properties of a Lambda function that Chalice does not set, as `resources()` defines them; idempotent."""

from collections.abc import Mapping
from typing import Any

from infra.stage import aws

SETTABLE = {"RecursiveLoop", "ReservedConcurrentExecutions", "Tracing"}
"""The properties of a function in `resources()`, besides its events."""


def set_function(function_name: str, properties: Mapping[str, Any]) -> list[str]:
    """Set the properties that differ, and return their names.

    Args:
        function_name: the name of the function.
        properties: the function's properties in `resources()`, without expressions; an empty value is AWS's default.
    """
    client = aws.client("lambda")
    changed = []
    if "RecursiveLoop" in properties:
        loop = client.get_function_recursion_config(FunctionName=function_name)["RecursiveLoop"]
        if loop != properties["RecursiveLoop"]:
            client.put_function_recursion_config(FunctionName=function_name, RecursiveLoop=properties["RecursiveLoop"])
            changed.append("RecursiveLoop")
    if "ReservedConcurrentExecutions" in properties:
        wanted = int(properties["ReservedConcurrentExecutions"] or 0)
        reserved = client.get_function_concurrency(FunctionName=function_name)
        if reserved.get("ReservedConcurrentExecutions", 0) != wanted:
            if wanted:
                client.put_function_concurrency(FunctionName=function_name, ReservedConcurrentExecutions=wanted)
            else:
                client.delete_function_concurrency(FunctionName=function_name)
            changed.append("ReservedConcurrentExecutions")
    if "Tracing" in properties:
        configuration = client.get_function_configuration(FunctionName=function_name)
        if configuration.get("TracingConfig", {}).get("Mode", "PassThrough") != properties["Tracing"]:
            client.update_function_configuration(
                FunctionName=function_name, TracingConfig={"Mode": properties["Tracing"]}
            )
            client.get_waiter("function_updated_v2").wait(FunctionName=function_name)
            changed.append("Tracing")
    return changed
