"""The template of the IAM roles that the GitHub workflow assumes is one that CloudFormation takes."""

import json
import subprocess
import sys
from pathlib import Path

from infra.deploy.github import roles_template


def test_roles_template_passes_cfn_lint(tmp_path: Path) -> None:
    path = tmp_path / "roles.json"
    path.write_text(json.dumps(roles_template("acme/passes")))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("cfn-lint")), str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
