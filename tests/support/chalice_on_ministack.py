"""Runs Chalice's command line with the embedded AWS, which ignores an API's description: sets routes one by one.

Use: `python -m tests.support.chalice_on_ministack deploy --stage S`. Everything else is Chalice's.
"""

import sys
from typing import Any
from unittest.mock import patch

import boto3
from chalice.awsclient import TypedAWSClient
from chalice.cli import main

from infra.deploy.chalice.gateway import resource_id

INTEGRATION = "x-amazon-apigateway-integration"


def create_api(_: TypedAWSClient, swagger_document: dict[str, Any], endpoint_type: str) -> str:
    """Do the work of ImportRestApi."""
    api = boto3.client("apigateway").create_rest_api(
        name=swagger_document["info"]["title"],
        binaryMediaTypes=swagger_document["x-amazon-apigateway-binary-media-types"],
        endpointConfiguration={"types": [endpoint_type]},
    )
    update_api(_, api["id"], swagger_document)
    return str(api["id"])


def update_api(_: TypedAWSClient, rest_api_id: str, swagger_document: dict[str, Any]) -> None:
    """Do the work of PutRestApi, except that removed routes stay."""
    client = boto3.client("apigateway")
    for path, methods in swagger_document["paths"].items():
        where = {"restApiId": rest_api_id, "resourceId": resource_id(client, rest_api_id, path)}
        known = client.get_resource(**where).get("resourceMethods", {})
        for method, description in methods.items():
            here = {**where, "httpMethod": method.upper()}
            if method.upper() not in known:
                client.put_method(**here, authorizationType="NONE")
            integration = description[INTEGRATION]
            client.put_integration(
                **here,
                type=integration["type"].upper(),
                integrationHttpMethod=integration["httpMethod"],
                uri=integration["uri"],
            )


def patch_api(_: TypedAWSClient, rest_api_id: str, patch_operations: list[dict[str, str]]) -> None:
    """Do the work of UpdateRestApi, except for empty values, which would remove settings that do not exist here."""
    if operations := [operation for operation in patch_operations if operation["value"]]:
        boto3.client("apigateway").update_rest_api(restApiId=rest_api_id, patchOperations=operations)


if __name__ == "__main__":
    with patch.multiple(
        TypedAWSClient,
        import_rest_api=create_api,
        update_api_from_swagger=update_api,
        update_rest_api=patch_api,
    ):
        sys.exit(main())
