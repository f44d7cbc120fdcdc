"""The deploy bucket, from which CloudFormation reads code and templates: one per account and region."""

import base64
import hashlib
import json
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from infra.stage import aws

BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


TEMPLATE_DAYS = 30
LARGEST_TEMPLATE_BYTES = 1_000_000
"""CloudFormation's limit for a template in a bucket. Larger objects are code, which a rollback may need at any time."""
LIFECYCLE = {
    "Rules": [
        {
            "ID": "templates",
            "Status": "Enabled",
            "Filter": {"ObjectSizeLessThan": LARGEST_TEMPLATE_BYTES},
            "Expiration": {"Days": TEMPLATE_DAYS},
        },
        {
            "ID": "incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
    ]
}
"""Templates expire: each is read once, when its change set is created."""
CODE_VERSIONS = 10
"""Number of zips to keep per stage: the deployed one, the one before it for a rollback, and some for inspection."""


class DeployBucket:
    """The bucket, created at the first upload.

    Args:
        account: the id of the account.
        region: the region.
    """

    def __init__(self, *, account: str, region: str) -> None:
        self.name = f"passwire-deploy-{account}-{region}"
        self._account = account
        self._region = region
        self._s3 = aws.client("s3", config=Config(retries={"mode": "standard"}, s3={"addressing_style": "path"}))

    def key(self, folder: str, content: bytes, suffix: str) -> str:
        """Return the key of content: `<folder>/<SHA-256>.<suffix>`. The folder begins with the name of a stage."""
        return f"{folder}/{hashlib.sha256(content).hexdigest()}.{suffix}"

    def put(self, key: str, content: bytes) -> bool:
        """Upload content, which S3 verifies by its checksum; return False if it was already there."""
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

    def prune(self, stage: str, *, used: str) -> None:
        """Delete the oldest zips of a stage.

        Args:
            stage: the name of the stage.
            used: the key of the zip that was just deployed, which is kept however old it is.
        """
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{stage}/")
        zips = [item for page in pages for item in page.get("Contents", []) if item["Key"].endswith(".zip")]
        newest_first = sorted(zips, key=lambda item: item["LastModified"], reverse=True)
        old = [{"Key": item["Key"]} for item in newest_first[CODE_VERSIONS:] if item["Key"] != used]
        if old:
            self._s3.delete_objects(Bucket=self.name, Delete={"Objects": old})

    def url(self, key: str) -> str:
        """Return the URL from which CloudFormation reads an object."""
        return f"{self._s3.meta.endpoint_url}/{self.name}/{key}"

    def forget(self, stage: str) -> None:
        """Delete the objects of a stage."""
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
            self._s3.put_bucket_policy(Bucket=self.name, Policy=json.dumps(self._tls_only()))
            self._s3.put_bucket_lifecycle_configuration(Bucket=self.name, LifecycleConfiguration=LIFECYCLE)

    def _tls_only(self) -> dict[str, Any]:
        """Return a bucket policy that denies requests without TLS."""
        arn = f"arn:{aws.partition_of_region(self._region)}:s3:::{self.name}"
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return {"Version": "2012-10-17", "Statement": [statement]}


def _is_missing(error: ClientError) -> bool:
    return aws.error_code(error) in aws.NOT_FOUND_CODES
