"""Looks up known vulnerabilities of every locked library: `make audit`.

It needs the advisories of pypi.org, which it requests for each library. Where they cannot be reached it says so and
ends with 3: libraries that were not looked up are not reported as good.
"""

import subprocess
import sys
from collections.abc import Sequence

from infra.local.processes import PROJECT

FILES = ("requirements.txt", "requirements-cli.txt", "requirements-dev.txt", "infra/local/requirements-ministack.txt")
COMMAND = (sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off")
FOUND, NOT_AUDITED = 1, 3
SKIPPED = "could not be audited"
UNREACHABLE = ("ConnectionError", "Could not connect", "Max retries exceeded", "Connection refused", "timed out")


def main(command: Sequence[str] = COMMAND, files: Sequence[str] = FILES) -> int:
    """Audit each file.

    Args:
        command: of pip-audit.
        files: of locked requirements.

    Returns:
        0; `FOUND` if a library has a known vulnerability; `NOT_AUDITED` if the advisories could not be reached.
    """
    results = {0}
    for name in files:
        done = subprocess.run(
            [*command, "--requirement", name], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        shown = f"{done.stdout}\n{done.stderr}".strip()
        skipped = shown.count(SKIPPED)
        if skipped or any(sign in shown for sign in UNREACHABLE):
            libraries = f"{skipped} libraries" if skipped else "its libraries"
            sys.stderr.write(f"{name}: {libraries} could not be audited, because pypi.org has not answered for them\n")
            results.add(NOT_AUDITED)
        elif done.returncode == 0:
            sys.stdout.write(f"{name}: no known vulnerabilities\n")
        else:
            sys.stderr.write(f"{name}:\n{shown}\n")
            results.add(FOUND)
    return FOUND if FOUND in results else max(results)


if __name__ == "__main__":
    raise SystemExit(main())
