"""Writes a stage's template and code to a folder, for teams that deploy with their own pipeline."""

import json
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from chalicelib.core.secret_forms import SecretNames
from infra.core.files import PathError, check_new
from infra.deploy.bill_of_materials import bill_of_materials
from infra.deploy.bucket import DeployBucket
from infra.deploy.change_sets import CAPABILITIES, STAGE_TAG
from infra.deploy.changes import ADDRESS_TYPES, PERMANENT_TYPES, RETAINED_TYPES
from infra.deploy.package import Package
from infra.deploy.template import StageLocation, with_code, with_retained_names
from infra.stage.stage import stack_name

TEMPLATE, CODE, SCRIPT, BILL = "template.json", "functions.zip", "deploy.sh", "functions.cdx.json"
EXECUTABLE = 0o755


def _any_of(name: str, values: Iterable[str]) -> str:
    return " || ".join(f"{name} == '{value}'" for value in values)


LOST = (
    "Changes[].ResourceChange | [?"
    f"(({_any_of('ResourceType', RETAINED_TYPES)}) && (Action == 'Remove' || Replacement == 'Conditional')) || "
    f"(({_any_of('ResourceType', (*PERMANENT_TYPES, *ADDRESS_TYPES))}) && "
    "(Action == 'Remove' || Replacement == 'True'))].LogicalResourceId"
)
"""JMESPath of the resources that would be lost: `ResourceChange.loses_data` and `loses_address`."""
URL_PARAMETERS = "Parameters[?ParameterKey == 'WebServiceUrl' || ParameterKey == 'DomainName'].ParameterValue"
"""JMESPath of the parameters of `address_of`."""


def check_new_folder(folder: Path, *, overwrite: bool) -> None:
    """Check that a package can be written to a folder.

    Args:
        folder: it is created if it does not exist.
        overwrite: existing files may be replaced.

    Raises:
        PathError: one of the files exists.
    """
    if folder.is_dir():
        for name in (TEMPLATE, CODE, SCRIPT, BILL):
            check_new(folder / name, overwrite=overwrite)
    elif folder.exists():
        raise PathError(f"{folder}: is not a folder; give another --out")


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
        The paths of `template`, `code`, `script` and `bill_of_materials`.
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
    bill = bill_of_materials(package.zip_file, commit=commit)
    (folder / BILL).write_text(json.dumps(bill, indent=1) + "\n")
    return {
        "template": str(folder / TEMPLATE),
        "code": str(folder / CODE),
        "script": str(folder / SCRIPT),
        "bill_of_materials": str(folder / BILL),
    }


def _script(location: StageLocation, *, bucket: str, key: str, values: Mapping[str, str]) -> str:
    """Return the script. `aws cloudformation deploy` creates a change set that keeps the values of parameters that are
    not given (AWS CLI, "deploy"); the script executes it unless `ResourceChange` would be refused or asked about.
    """
    stack, secret = stack_name(location.stage), SecretNames(location.stage).authentication_keys
    overrides = " ".join(shlex.quote(f"{name}={value}") for name, value in values.items())
    return f"""#!/bin/sh
# Deploys stage {location.stage} to account {location.account} in {location.region}. Needs the AWS CLI, and openssl
# for the first deployment. With the argument --no-execute-changeset it shows the changes without making them.
# It refuses to lose data, or the URL that phones call. Only `passwire deploy` takes over the tables of a deleted
# stack of this stage, and changes the URL after it has shown how many devices call the old one.
set -eu
cd "$(dirname "$0")"
export AWS_REGION={location.region} AWS_DEFAULT_REGION={location.region} AWS_PAGER=
stack={stack}

described() {{ # QUERY: a value of the stack; nothing if it does not exist
  aws cloudformation describe-stacks --stack-name $stack --output text --query "$1" 2>/dev/null || true
}}
changed() {{ # QUERY: values of the change set, as JSON
  aws cloudformation describe-change-set --stack-name $stack --change-set-name "$changes" --output json --query "$1"
}}
refuse() {{
  echo "refused: $1; nothing was changed" >&2
  aws cloudformation delete-change-set --stack-name $stack --change-set-name "$changes"
  exit 1
}}

aws s3api head-bucket --bucket {bucket} || aws s3 mb s3://{bucket}
aws s3 cp --only-show-errors {CODE} s3://{bucket}/{key}
status=$(described 'Stacks[0].StackStatus')
printed=$(aws cloudformation deploy --stack-name $stack --template-file {TEMPLATE} \\
  --s3-bucket {bucket} --s3-prefix {location.stage} --capabilities {" ".join(CAPABILITIES)} \\
  --tags {STAGE_TAG}={location.stage} --no-fail-on-empty-changeset --no-execute-changeset \\
  --parameter-overrides {overrides})
changes=$(printf '%s' "$printed" | sed -n 's/^aws cloudformation describe-change-set --change-set-name //p')

if test -n "$changes"; then
  changed 'Changes[].ResourceChange.[Action, LogicalResourceId, ResourceType, Replacement]'
  lost=$(changed "{LOST}")
  test "$lost" = "[]" || refuse "these resources would be lost: $lost"
  case "$status" in "" | REVIEW_IN_PROGRESS) ;; *)
    before=$(described "Stacks[0].{URL_PARAMETERS}" | sort)
    after=$(aws cloudformation describe-change-set --stack-name $stack --change-set-name "$changes" --output text \\
      --query "{URL_PARAMETERS}" | sort)
    test "$before" = "$after" || refuse "the URL that phones call would change ($before -> $after)"
  esac
  test "${{1:-}}" != --no-execute-changeset || exit 0
  aws cloudformation execute-change-set --stack-name $stack --change-set-name "$changes"
  case "$status" in
    "" | REVIEW_IN_PROGRESS) aws cloudformation wait stack-create-complete --stack-name $stack ;;
    *) aws cloudformation wait stack-update-complete --stack-name $stack ;;
  esac
fi
test "${{1:-}}" != --no-execute-changeset || exit 0
aws cloudformation update-termination-protection --stack-name $stack --enable-termination-protection
# Create the first authentication key. An existing one is kept: installed passes need it.
if ! aws secretsmanager describe-secret --secret-id {secret} > /dev/null; then
  printf '{{"keys": [{{"id": "1", "key": "%s"}}]}}' "$(openssl rand -base64 32)" \\
    | aws secretsmanager create-secret --name {secret} --secret-string file:///dev/stdin
fi
"""
