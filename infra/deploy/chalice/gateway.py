"""Configures an existing API of API Gateway as `resources()` defines it; idempotent."""

from collections.abc import Mapping
from typing import Any

from infra.stage import aws

ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
RESPONSES = "x-amazon-apigateway-gateway-responses"
METHOD_SETTINGS = {
    "ThrottlingRateLimit": "throttling/rateLimit",
    "ThrottlingBurstLimit": "throttling/burstLimit",
    "LoggingLevel": "logging/loglevel",
    "DataTraceEnabled": "logging/dataTrace",
    "MetricsEnabled": "metrics/enabled",
}
"""Method settings in the template, with their paths in a patch of the API's stage."""
SETTABLE = {"DefinitionBody", "MethodSettings", "AccessLogSetting", "TracingEnabled"}
SETTABLE_IN_BODY = {"info", "paths", RESPONSES}


def set_gateway(api_id: str, properties: Mapping[str, Any], *, stage_name: str) -> None:
    """Configure what Chalice cannot, and deploy the API.

    Args:
        api_id: the id of the API.
        properties: the API's properties in `resources()`, without expressions.
        stage_name: the API's stage to deploy.
    """
    client = aws.client("apigateway")
    body = properties["DefinitionBody"]
    client.update_rest_api(
        restApiId=api_id, patchOperations=[{"op": "replace", "path": "/name", "value": body["info"]["title"]}]
    )
    for kind, response in body[RESPONSES].items():
        client.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            statusCode=str(response["statusCode"]),
            responseTemplates=response["responseTemplates"],
        )
    put_paths(api_id, body["paths"])
    client.create_deployment(restApiId=api_id, stageName=stage_name)
    client.update_stage(restApiId=api_id, stageName=stage_name, patchOperations=_stage_patch(properties))


def put_paths(api_id: str, paths: Mapping[str, Any]) -> None:
    """Create paths that pass every method to a function.

    Args:
        api_id: the id of the API.
        paths: `paths` of the API's definition.
    """
    client = aws.client("apigateway")
    for path, methods in paths.items():
        resource = resource_id(client, api_id, path)
        integration = methods[ANY_METHOD][INTEGRATION]
        known = client.get_resource(restApiId=api_id, resourceId=resource).get("resourceMethods", {})
        if "ANY" not in known:
            client.put_method(restApiId=api_id, resourceId=resource, httpMethod="ANY", authorizationType="NONE")
        client.put_integration(
            restApiId=api_id,
            resourceId=resource,
            httpMethod="ANY",
            type=integration["type"].upper(),
            integrationHttpMethod=integration["httpMethod"],
            passthroughBehavior=integration["passthroughBehavior"].upper(),
            uri=integration["uri"],
        )


def resource_id(client: Any, api_id: str, path: str) -> str:  # noqa: ANN401 - a boto3 client
    """Return the id of a path, which is created if it does not exist."""
    pages = client.get_paginator("get_resources").paginate(restApiId=api_id)
    known = {resource["path"]: str(resource["id"]) for page in pages for resource in page["items"]}
    if path in known:
        return known[path]
    parent, _, part = path.rpartition("/")
    parent_id = known["/"] if not parent else resource_id(client, api_id, parent)
    return str(client.create_resource(restApiId=api_id, parentId=parent_id, pathPart=part)["id"])


def _stage_patch(properties: Mapping[str, Any]) -> list[dict[str, str]]:
    access_log = properties["AccessLogSetting"]
    patch = {
        "/accessLogSettings/destinationArn": access_log["DestinationArn"].removesuffix(":*"),
        "/accessLogSettings/format": access_log["Format"],
        "/tracingEnabled": str(properties["TracingEnabled"]).lower(),
    }
    for setting in properties["MethodSettings"]:
        where = "/" + setting["ResourcePath"].removeprefix("/").replace("/", "~1") + "/" + setting["HttpMethod"]
        for name, location in METHOD_SETTINGS.items():
            if name in setting:
                value = setting[name]
                patch[f"{where}/{location}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return [{"op": "replace", "path": path, "value": value} for path, value in patch.items()]
