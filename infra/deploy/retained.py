"""Deletes what is kept when a stack is deleted: tables, the bucket of templates, secrets."""

from collections.abc import Callable, Mapping

from botocore.exceptions import ClientError

from infra.stage import aws
from infra.stage.secrets import delete_secrets


def is_there(resource_type: str, name: str) -> bool:
    """Return whether a table or a bucket exists.

    Args:
        resource_type: CloudFormation's type of the table or the bucket.
        name: its name.
    """
    try:
        if resource_type == "AWS::DynamoDB::Table":
            aws.client("dynamodb").describe_table(TableName=name)
        else:
            aws.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if aws.error_code(error) in aws.NOT_FOUND_CODES:
            return False
        raise
    return True


def delete_retained(stage: str, kept: Mapping[str, list[str]], *, on_progress: Callable[[str], None]) -> None:
    """Delete the tables, the bucket and the secrets of a stage that still exist.

    AWS keeps a system backup of a table with point-in-time recovery for 35 days, and nothing of the rest.

    Args:
        stage: the name of the stage.
        kept: the names of tables and buckets, by CloudFormation's type.
        on_progress: takes a line of progress.
    """
    for table in kept["AWS::DynamoDB::Table"]:
        on_progress(f"deleting table {table}")
        _delete_table(table)
    for bucket in kept["AWS::S3::Bucket"]:
        on_progress(f"deleting bucket {bucket}")
        _delete_bucket(bucket)
    delete_secrets(stage, on_progress=on_progress)


def _delete_table(name: str) -> None:
    client = aws.client("dynamodb")
    try:
        client.update_table(TableName=name, DeletionProtectionEnabled=False)
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        client.delete_table(TableName=name)
    except client.exceptions.ResourceNotFoundException:
        return
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def _delete_bucket(name: str) -> None:
    client = aws.client("s3")
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [
                {"Key": version["Key"], "VersionId": version["VersionId"]}
                for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            ]
            if found:
                client.delete_objects(Bucket=name, Delete={"Objects": found, "Quiet": True})
        client.delete_bucket(Bucket=name)
    except client.exceptions.NoSuchBucket:
        return
