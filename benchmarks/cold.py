"""`make bench-cold`: compares cold starts of the deployed functions with the lower limit and with alternatives.

A cold start is a new process with a folder into which a zip was unpacked: the interpreter runs without site-packages
and does not write compiled files, since Lambda's file system is read-only. The import and the first call are measured
for a phone's registration, list call and download, and for a change that sends a push. They are compared with the same
code as Chalice packages it; with a function that makes one GetItem, using the files of botocore in the deployed zip,
which is the limit; and with the list call in FastAPI, Mangum and boto3, packaged as SAM does. AWS's answers come over
TLS from a recording (`cold_start/tape.py`), the same for all, and the stand-in for APNs takes the pushes. Rounds are
interleaved, so that other load on the machine affects all alike.
"""

import argparse
import json
import os
import py_compile
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cold_start.memory import Work, memory_table
from benchmarks.cold_start.tape import Player, Tape
from benchmarks.fanout import UNPACED
from infra.local.run import LocalRun, local_run
from tests.support.first_events import Calls, environment, first_calls

REPOSITORY = Path(__file__).parents[1]
PROGRAMS = Path(__file__).parent / "cold_start"
PEERS = Path(__file__).parent / "api_peers"
FOLDER = REPOSITORY / ".passwire" / "bench"
USUAL = ("fastapi==0.165.0", "mangum==0.22.0", "boto3==1.44.5")
WARM_CALLS = 10
"""Calls after the first one of this service's functions, for the table of memory sizes."""
TARGETS = {"register": 1.3, "list": 1.3, "download": 1.6, "push": 1.8}
"""The highest ratio to `bare`, by flow."""
ADDITIONAL_STARTS = 2
"""Additional starts per round of `bare` and of the flows with a target, whose ratios differ by a few percent only."""
AS_PACKAGED = "as-packaged-"
USUAL_COMPILED = "fastapi-mangum, compiled"
"""For comparison: SAM does not compile."""

FUNCTIONS = {
    "register": "api_handler",
    "list": "api_handler",
    "download": "api_handler",
    "link": "api_handler",
    "push": "push",
    "push_worker": "push_worker",
    "check_certificates": "check_certificates",
}
"""Function names by flow, as in `.chalice/config.json`."""
MEMORY_TABLE_ONLY = ("link", "push_worker", "check_certificates")
"""Flows that are measured for the table of memory sizes only."""
QUEUED_DEVICES = 5000
"""Devices in a full batch of the push queue: ten push tasks of 500."""

console = Console()


@dataclass
class Starter:
    """One kind of cold start.

    Args:
        folders: the entries of sys.path, in order.
        module: the module to import.
        calls: the handler and its events.
        variables: the environment variables.
        tape: AWS's recorded answers.
        samples: the measurements, one per round.
    """

    folders: tuple[Path, ...]
    module: str
    calls: Calls
    variables: Mapping[str, str]
    tape: Tape = field(default_factory=lambda: defaultdict(list))
    samples: list[dict[str, Any]] = field(default_factory=list)

    def start(self, work: Path) -> dict[str, Any]:
        """Run one cold start and the warm calls after it."""
        events = work / "events.json"
        events.write_text(json.dumps(self.calls.events))
        folders = os.pathsep.join(map(str, self.folders))
        program = [sys.executable, "-I", "-S", "-B", str(PROGRAMS / "first_call.py"), folders, self.module]
        done = subprocess.run(
            [*program, self.calls.handler, str(events)],
            env=dict(self.variables),
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{self.module}.{self.calls.handler} failed:\n{done.stderr}")
        sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return sample

    def median(self, name: str) -> float:
        return statistics.median(float(sample[name]) for sample in self.samples)

    def work(self, function: str) -> Work:
        """The cost of the flow, from which the table of memory sizes is made."""
        return Work(
            function=function,
            first_cpu_ms=self.median("cpu_ms"),
            warm_cpu_ms=self.median("warm_cpu_ms"),
            requests=sum(map(len, self.tape.values())) / len(self.calls.events),
            peak_mb=self.median("peak_mb"),
        )

    @property
    def total(self) -> float:
        """Import and first call, in milliseconds."""
        return statistics.median(float(sample["import_ms"] + sample["call_ms"]) for sample in self.samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    usual = _install_usual()
    with (
        tempfile.TemporaryDirectory() as name,
        local_run(Path(name) / "stack", on_progress=console.print, parameters=UNPACED) as stack,
    ):
        work = Path(name)
        certificates = work / "stack" / "certificates"
        stack.use()
        player = Player(certificates / "apns_server.pem", certificates / "apns_server.key.pem", stack.aws_endpoint_url)
        with player.running():
            starters = _prepare(work, stack, player, usual)
            _measure(starters, player, work, options.rounds)
    _report(starters, options.rounds)


def _prepare(work: Path, stack: LocalRun, player: Player, usual: Path) -> dict[str, Starter]:
    """Unpack all variants, and record AWS's answers to each."""
    package = work / "stack" / "package"
    slim, as_packaged = work / "slim", work / "as-packaged"
    for zip_file, folder in (("functions.zip", slim), ("deployment.zip", as_packaged)):
        with zipfile.ZipFile(package / zip_file) as archive:
            archive.extractall(folder)
    bare = work / "bare"
    bare.mkdir()
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(PROGRAMS / "bare.py"), str(bare / "bare.pyc"), invalidation_mode=unchecked)
    compiled = work / "usual-compiled"
    shutil.copytree(usual, compiled)
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", compiled], check=False
    )
    # All trust botocore's roots and the recording's root; this service has them one per file, as in its zip.
    roots = work / "roots.pem"
    roots.write_bytes((as_packaged / "botocore" / "cacert.pem").read_bytes() + Path(stack.ca_file).read_bytes())

    hashed = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", stack.ca_file], capture_output=True, text=True, check=True
    )
    shutil.copy(stack.ca_file, slim / "roots" / f"{hashed.stdout.strip()}.0")

    calls = first_calls(stack, warm=WARM_CALLS, queued_devices=QUEUED_DEVICES)
    on_tape = {"AWS_ENDPOINT_URL": player.url, "HOME": str(work)}
    ours = {role: {**environment(stack, role), **on_tape} for role in stack.functions}
    variables = {role: {**of, "AWS_CA_BUNDLE": str(roots)} for role, of in ours.items()}
    once = {name: replace(of, events=of.events[:1]) for name, of in calls.items()}
    listing = replace(once["list"], handler="handler")
    starters = {
        **{name: Starter((slim,), "app", of, ours[of.function]) for name, of in calls.items()},
        "bare": Starter((bare, slim), "bare", listing, variables["api"]),
        "fastapi-mangum": Starter((usual,), "usual", listing, variables["api"]),
        USUAL_COMPILED: Starter((compiled,), "usual", listing, variables["api"]),
        **{
            AS_PACKAGED + name: Starter((as_packaged,), "app", of, variables[of.function])
            for name, of in once.items()
            if name not in MEMORY_TABLE_ONLY
        },
    }
    for starter in starters.values():
        player.record(starter.tape)
        starter.samples.append(starter.start(work))
    listed, theirs = (json.loads(starters[name].samples[0]["answer"]["body"]) for name in ("list", "fastapi-mangum"))
    assert listed["serialNumbers"] == theirs["serialNumbers"]
    for starter in starters.values():
        starter.samples.clear()
    return starters


def _measure(starters: Mapping[str, Starter], player: Player, work: Path, rounds: int) -> None:
    again = [(name, starters[name]) for name in (*TARGETS, "bare")] * ADDITIONAL_STARTS
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        for name, starter in (*starters.items(), *again):
            player.play(starter.tape)
            starter.samples.append(starter.start(work))
            if player.wrong:
                sys.exit(f"{name} requested {player.wrong}, which is not in its recording; run the benchmark again")


def _install_usual() -> Path:
    """Install FastAPI's function as `sam build` does: unpacked wheels, not compiled."""
    folder = FOLDER / "fastapi-mangum"
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != " ".join(USUAL):
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*pip, "--target", folder, *USUAL], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(" ".join(USUAL))
    for program in (PROGRAMS / "usual.py", PEERS / "listing.py"):
        shutil.copy(program, folder)
    return folder


def _report(starters: Mapping[str, Starter], rounds: int) -> None:
    named = {name: of for name, of in starters.items() if name not in (USUAL_COMPILED, *MEMORY_TABLE_ONLY)}
    report = {
        "unit": "ms",
        "rounds": rounds,
        "median": {name: round(starter.total, 1) for name, starter in named.items()},
    }
    (FOLDER / "cold.json").write_text(json.dumps(report, indent=2) + "\n")
    bare = starters["bare"].total
    table = Table(title=f"cold starts, median of {rounds}")
    table.add_column("function")
    for heading in ("ms", "import", "first call", "CPU", "of bare"):
        table.add_column(heading, justify="right")
    for name, starter in starters.items():
        figures = (starter.total, starter.median("import_ms"), starter.median("call_ms"), starter.median("cpu_ms"))
        table.add_row(name, *(f"{figure:.0f}" for figure in figures), f"{starter.total / bare:.2f} times")
    console.print(table)
    for name, target in TARGETS.items():
        ratio = starters[name].total / bare
        met = "[green]met[/]   " if ratio <= target else "[red]missed[/]"
        console.print(f"{met} {name}: {ratio:.2f} times bare (at most {target})", highlight=False)
    Console(width=140).print(
        memory_table({name: starters[name].work(function) for name, function in FUNCTIONS.items()})
    )
    console.print(f"written to {FOLDER / 'cold.json'}")


if __name__ == "__main__":
    main()
