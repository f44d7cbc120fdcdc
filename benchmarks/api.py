"""`make bench-api`: measures the CPU time of warm API calls beside a bare botocore handler and other web services.

A registration, a list call and a download are called many times in one process, after a first call that is not counted.
They are compared with a handler that makes only the same number of requests to DynamoDB, with FastAPI, Mangum and boto3
as many teams write them, and with django-walletpass in process, which uses SQLite and returns stored files. AWS's
answers come over TLS from a recording (`cold_start/tape.py`). Rounds are interleaved, so that other load on the machine
affects all alike.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cold import Starter
from benchmarks.cold_start.tape import Player
from chalicelib.aws.secrets import Secrets
from infra.local.run import LocalRun, local_run
from tests.support.first_events import Calls, environment, first_calls

REPOSITORY = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "api_peers"
FOLDER = REPOSITORY / ".passwire" / "bench"
USUAL = ("fastapi==0.165.0", "mangum==0.22.0", "boto3==1.44.5", "cryptography==50.0.2")
DJANGO = ("django-walletpass==5.0.1",)
CALLS = {"register": "register", "list": "list_changed", "download": "download"}
"""Calls, with the names of the bare handler's functions."""
WARM_CALLS = 100
TARGET = 1.25
"""The highest ratio to `bare`."""

console = Console()


def main() -> None:
    """Measure, print, write `.passwire/bench/api.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    usual, django = _install("api-fastapi", USUAL), _install("api-django", DJANGO)
    with tempfile.TemporaryDirectory() as name, local_run(Path(name) / "stack", on_progress=console.print) as stack:
        work = Path(name)
        certificates = work / "stack" / "certificates"
        stack.use()
        player = Player(certificates / "apns_server.pem", certificates / "apns_server.key.pem", stack.aws_endpoint_url)
        with player.running():
            starters = _prepare(work, stack, player, usual)
            samples = _measure(starters, player, work, django, options.rounds)
    _report(samples, options.rounds)


def _install(name: str, packages: tuple[str, ...]) -> Path:
    """Install packages into a folder of their own."""
    folder = FOLDER / name
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text() != " ".join(packages):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
        subprocess.run([*pip, "--target", folder, *packages], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(" ".join(packages))
    return folder


def _prepare(work: Path, stack: LocalRun, player: Player, usual: Path) -> dict[tuple[str, str], Starter]:
    """Record AWS's answers to each call of each handler; returns the handlers by call and name."""
    slim = work / "slim"
    with zipfile.ZipFile(work / "stack" / "package" / "functions.zip") as archive:
        archive.extractall(slim)
    roots = work / "roots.pem"
    roots.write_bytes((usual / "botocore" / "cacert.pem").read_bytes() + Path(stack.ca_file).read_bytes())
    hashed = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", stack.ca_file], capture_output=True, text=True, check=True
    ).stdout.strip()
    (slim / "roots" / f"{hashed}.0").write_bytes(Path(stack.ca_file).read_bytes())
    ours = {**environment(stack, "api"), "AWS_ENDPOINT_URL": player.url, "HOME": str(work)}
    peer = {**ours, "AWS_CA_BUNDLE": str(roots), **_peer_settings(work, stack)}
    made: dict[tuple[str, str], Starter] = {}
    for name, folders, module, handler, variables in (
        ("passwire", (slim,), "app", "app", ours),
        ("bare", (PEERS, slim), "bare", "", peer),
        ("fastapi-mangum", (PEERS, usual), "usual", "handler", peer),
    ):
        calls = first_calls(stack, warm=WARM_CALLS)  # a device registers only once, so each has its own
        for call, function in CALLS.items():
            of = Calls("api", handler or function, calls[call].events)
            made[call, name] = Starter(folders, module, of, variables)
    for (call, name), starter in made.items():
        player.record(starter.tape)
        answer = starter.start(work)["answer"]
        status = answer.get("statusCode") if isinstance(answer, dict) else None
        if name != "bare" and status != (201 if call == "register" else 200):
            sys.exit(f"{call} of {name} answered {status}")
    return made


def _peer_settings(work: Path, stack: LocalRun) -> dict[str, str]:
    key = Secrets(stage=stack.stage).authentication_keys().newest
    private_key = work / "stack" / "certificates" / "pass_type.key.pem"
    return {
        "PEER_KEY_ID": key.key_id,
        "PEER_KEY": key.key.hex(),
        "PEER_CERTIFICATES": json.dumps({**stack.certificates, "key": str(private_key)}),
        "PEER_TEMPLATE": str(REPOSITORY / "chalicelib" / "templates" / f"{stack.template}.pass"),
    }


def _measure(
    starters: Mapping[tuple[str, str], Starter], player: Player, work: Path, django: Path, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Measure all handlers in interleaved rounds; returns milliseconds of CPU by call and name."""
    samples: dict[str, dict[str, list[float]]] = {call: defaultdict(list) for call in CALLS}
    stored = work / "stored.pkpass"
    stored.write_bytes(bytes(40_000))
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}")
        for (call, name), starter in starters.items():
            player.play(starter.tape)
            samples[call][name].append(starter.start(work)["warm_cpu_ms"])
            if player.wrong:
                sys.exit(f"{name} requested {player.wrong}, which is not in its recording; run the benchmark again")
        for call in CALLS:
            samples[call]["django-walletpass"].append(_django(django, call, stored))
    requests = {key: sum(map(len, starter.tape.values())) for key, starter in starters.items()}
    for call in CALLS:
        console.print(
            f"{call}: requests per call: "
            + ", ".join(f"{name} {requests[call, name] / (WARM_CALLS + 1):.1f}" for of, name in starters if of == call),
            highlight=False,
        )
    return samples


def _django(folder: Path, call: str, stored: Path) -> float:
    program = [sys.executable, "-I", "-S", "-B", str(PEERS / "walletpass.py"), str(folder), call]
    done = subprocess.run([*program, str(WARM_CALLS), str(stored)], capture_output=True, text=True, check=False, env={})
    if done.returncode:
        sys.exit(f"django-walletpass: {call} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if not all(status.startswith("20") for status in found["statuses"]):
        sys.exit(f"django-walletpass: {call} answered {found['statuses']}")
    return float(found["warm_cpu_ms"])


def _report(samples: Mapping[str, Mapping[str, list[float]]], rounds: int) -> None:
    medians = {
        call: {name: round(statistics.median(values), 3) for name, values in by_name.items()}
        for call, by_name in samples.items()
    }
    report = {call: {"unit": "ms CPU", "rounds": rounds, "median": median} for call, median in medians.items()}
    (FOLDER / "api.json").write_text(json.dumps(report, indent=2) + "\n")
    table = Table("ms of CPU per warm call", *medians["list"], "of bare", title=f"median of {rounds}", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for call, median in medians.items():
        ratio = median["passwire"] / median["bare"]
        table.add_row(call, *(f"{value:.2f}" for value in median.values()), f"{ratio:.2f} times")
    console.print(table)
    for call, median in medians.items():
        ratio = median["passwire"] / median["bare"]
        met = "[green]met[/]   " if ratio <= TARGET else "[red]missed[/]"
        console.print(f"{met} {call}: {ratio:.2f} times bare (at most {TARGET})", highlight=False)
    console.print(f"written to {FOLDER / 'api.json'}")


if __name__ == "__main__":
    main()
