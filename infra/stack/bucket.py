"""The deploy bucket: where CloudFormation fetches code and templates, one for all stages of an account and region."""

import base64
import hashlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


class DeployBucket:
    """The bucket, made when something is first put there."""

    def __init__(self, *, account: str, region: str) -> None:
        self.name = f"passwire-deploy-{account}-{region}"
        self._account = account
        self._region = region
        self._s3 = boto3.client("s3", config=Config(retries={"mode": "standard"}, s3={"addressing_style": "path"}))

    def key(self, stage: str, content: bytes, suffix: str) -> str:
        """The name that content has."""
        return f"{stage}/{hashlib.sha256(content).hexdigest()}.{suffix}"

    def put(self, key: str, content: bytes) -> bool:
        """Store content, checked on arrival; False where it is there already."""
        self._ensure()
        if self._has(key, size=len(content)):
            return False
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        self._s3.put_object(
            Bucket=self.name,
            Key=key,
            Body=content,
            ChecksumSHA256=checksum,
            ExpectedBucketOwner=self._account,
        )
        return True

    def url(self, key: str) -> str:
        """Where CloudFormation reads it."""
        return f"{self._s3.meta.endpoint_url}/{self.name}/{key}"

    def forget(self, stage: str) -> None:
        """Delete what a stage has there."""
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{stage}/"):
                found = [{"Key": item["Key"]} for item in page.get("Contents", [])]
                if found:
                    self._s3.delete_objects(Bucket=self.name, Delete={"Objects": found})
        except self._s3.exceptions.NoSuchBucket:
            return

    def _has(self, key: str, *, size: int) -> bool:
        try:
            head = self._s3.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if _is_missing(error):
                return False
            raise
        return int(head["ContentLength"]) == size

    def _ensure(self) -> None:
        try:
            self._s3.head_bucket(Bucket=self.name, ExpectedBucketOwner=self._account)
        except ClientError as error:
            if not _is_missing(error):
                raise
            where = (
                {}
                if self._region == "us-east-1"
                else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
            )
            self._s3.create_bucket(Bucket=self.name, **where)
            self._s3.put_public_access_block(Bucket=self.name, PublicAccessBlockConfiguration=BLOCKED)


def _is_missing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in {"404", "NoSuchBucket", "NoSuchKey", "NotFound"}
