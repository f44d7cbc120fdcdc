"""`python -m tests.support.lint_template`: runs cfn-lint on the template as Chalice merges it for a deployment."""

import subprocess
import sys
import tempfile
from pathlib import Path

from infra.deploy.package import build_package

with tempfile.TemporaryDirectory() as name:
    build_package("dev", Path(name))
    cfn_lint = Path(sys.executable).with_name("cfn-lint")
    sys.exit(subprocess.run([str(cfn_lint), str(Path(name) / "sam.json")], check=False).returncode)
