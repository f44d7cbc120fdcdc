"""A stage's template and code in a folder, for teams that deploy by a pipeline of their own."""

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
        package: what `build_package` made.
        location: the stage, account and region that it is for: names of tables and buckets are written out.
        parameters: of the template; those that are not given keep their values of the last deployment.
        commit: what the stage notes down as deployed.
        folder: made if need be; what is there under the same names is replaced.

    Returns:
        The paths by name: template, code, script.
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
    """AWS, "deploy" of the CLI: makes a change set, executes it, and keeps the values that are not given."""
    stack, secret = stack_name(location.stage), SecretNames(location.stage).authentication_keys
    overrides = " ".join(shlex.quote(f"{name}={value}") for name, value in values.items())
    return f"""#!/bin/sh
# Deploys stage {location.stage} to account {location.account} in {location.region}. Needs the AWS CLI, and openssl
# for the first deployment. With --no-execute-changeset as its argument it shows the changes and makes none.
# Tables that an earlier stack of this stage left are taken over by `python -m infra deploy` only.
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
# The first key of authentication tokens. One that is there stays: without it no installed pass is let in.
if ! aws secretsmanager describe-secret --secret-id {secret} > /dev/null; then
  printf '{{"keys": [{{"id": "1", "key": "%s"}}]}}' "$(openssl rand -base64 32)" \\
    | aws secretsmanager create-secret --name {secret} --secret-string file:///dev/stdin
fi
"""
