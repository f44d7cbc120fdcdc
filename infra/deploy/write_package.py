"""Writes a stage's template and code to a folder, for teams that deploy with their own pipeline."""

import json
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from chalicelib.core.secret_forms import SecretNames
from infra.deploy.bucket import DeployBucket
from infra.deploy.change_sets import CAPABILITIES, STAGE_TAG
from infra.deploy.package import Package
from infra.deploy.template import StageLocation, with_code, with_retained_names
from infra.stage.stage import stack_name

TEMPLATE, CODE, SCRIPT = "template.json", "functions.zip", "deploy.sh"
EXECUTABLE = 0o755


def write_package(
    package: Package, *, location: StageLocation, parameters: Mapping[str, str], commit: str, folder: Path
) -> dict[str, str]:
    """Write the template as CloudFormation receives it, the zip, and a script of the commands that deploy them.

    Args:
        package: the result of `build_package`.
        location: the stage, account and region to deploy to, which names of tables and buckets contain.
        parameters: stack parameters; those that are not given keep their values of the last deployment.
        commit: the commit that the stage records as deployed.
        folder: created if it does not exist; files of the same names are replaced.

    Returns:
        The paths of `template`, `code` and `script`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bucket = DeployBucket(account=location.account, region=location.region)
    key = bucket.key(location.stage, package.zip_file.read_bytes(), "zip")
    template = with_retained_names(with_code(package.template, bucket=bucket.name, key=key), location)
    (folder / TEMPLATE).write_text(json.dumps(template, indent=1) + "\n")
    shutil.copyfile(package.zip_file, folder / CODE)
    values = {"Stage": location.stage, "Commit": commit, **parameters}
    (folder / SCRIPT).write_text(_script(location, bucket=bucket.name, key=key, values=values))
    (folder / SCRIPT).chmod(EXECUTABLE)
    return {"template": str(folder / TEMPLATE), "code": str(folder / CODE), "script": str(folder / SCRIPT)}


def _script(location: StageLocation, *, bucket: str, key: str, values: Mapping[str, str]) -> str:
    """Return the script. `aws cloudformation deploy` creates and executes a change set, and keeps the values of
    parameters that are not given (AWS CLI, "deploy").
    """
    stack, secret = stack_name(location.stage), SecretNames(location.stage).authentication_keys
    overrides = " ".join(shlex.quote(f"{name}={value}") for name, value in values.items())
    return f"""#!/bin/sh
# Deploys stage {location.stage} to account {location.account} in {location.region}. Needs the AWS CLI, and openssl
# for the first deployment. With the argument --no-execute-changeset it shows the changes without making them.
# Only `python -m infra deploy` takes over the tables of a deleted stack of this stage.
set -eu
cd "$(dirname "$0")"
export AWS_REGION={location.region} AWS_DEFAULT_REGION={location.region}
aws s3api head-bucket --bucket {bucket} || aws s3 mb s3://{bucket}
aws s3 cp {CODE} s3://{bucket}/{key}
aws cloudformation deploy --stack-name {stack} --template-file {TEMPLATE} \\
  --s3-bucket {bucket} --s3-prefix {location.stage} --capabilities {" ".join(CAPABILITIES)} \\
  --tags {STAGE_TAG}={location.stage} --no-fail-on-empty-changeset \\
  --parameter-overrides {overrides} "$@"
test $# -eq 0 || exit 0
aws cloudformation update-termination-protection --stack-name {stack} --enable-termination-protection
# Create the first authentication key. An existing one is kept: installed passes need it.
if ! aws secretsmanager describe-secret --secret-id {secret} > /dev/null; then
  printf '{{"keys": [{{"id": "1", "key": "%s"}}]}}' "$(openssl rand -base64 32)" \\
    | aws secretsmanager create-secret --name {secret} --secret-string file:///dev/stdin
fi
"""
