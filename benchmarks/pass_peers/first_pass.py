"""Measures a new process: prints the seconds until its first pass, and its peak memory after a number of passes."""

import time

STARTED = time.perf_counter()

import json  # noqa: E402 - the clock starts before the first import
import re  # noqa: E402
import sys  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402

from chalicelib.core.identifiers import AuthenticationToken  # noqa: E402
from chalicelib.passes.item import PassItem  # noqa: E402
from chalicelib.passes.rendering import render  # noqa: E402
from chalicelib.passes.signing import Signer  # noqa: E402
from chalicelib.passes.template import Template  # noqa: E402


def main() -> None:
    job = json.loads(Path(sys.argv[2]).read_text())
    folder = Path(job["folder"])
    template = Template.parse("bench", {path.name: path.read_bytes() for path in folder.iterdir()})
    signer = Signer.from_pem(
        certificate=Path(job["certificate"]).read_text(),
        private_key=Path(job["private_key"]).read_text(),
        intermediate=Path(job["intermediate"]).read_text(),
    )
    first = 0.0
    for number in range(int(sys.argv[1])):
        item = PassItem.parse({"pass_id": f"{job['pass_type_identifier']}/{number}", "template": "bench"})
        rendered = render(
            template,
            item,
            web_service_url=job["web_service_url"],
            authentication_token=AuthenticationToken(job["authentication_token"]),
            team_identifier=signer.team_identifier,
        )
        template.archive.with_pass(rendered, sign=lambda manifest: signer.sign(manifest, at=datetime.now(UTC)))
        first = first or time.perf_counter() - STARTED
    status = Path("/proc/self/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    sys.stdout.write(json.dumps({"first": first, "peak_megabytes": int(peak[1]) / 1024 if peak else 0.0}) + "\n")


if __name__ == "__main__":
    main()
