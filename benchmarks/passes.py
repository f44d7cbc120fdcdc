"""`make bench-pass`: passes per second of this service's code, of a bare RSA signature (the limit), and of the peers.

All make the same pass: 2.8 KB of pass.json, 8 PNGs of 165 KB in all, an RSA-2048 key; in the row "own image", each
pass has one more image of its own. Rounds are interleaved, so that other load on the machine affects all alike. Peers
are installed into `.passwire/bench`; those in Node are named and left out if node and npm are not installed. The passes
of each are checked before it is measured.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.pass_peers.job import PassJob
from benchmarks.pass_peers.passwire import OWN_IMAGE, noise
from infra.local.certificates import make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER

REPOSITORY = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "pass_peers"
FOLDER = REPOSITORY / ".passwire" / "bench"
PYTHON_PEERS = ("wallet-py3k==0.0.4", "py-pkpass==1.0.2", "edutap.wallet_apple==1.0.0a5")
NODE_PEERS = ("passkit-generator@3.6.1", "@walletpass/pass-js@6.9.8")
PYPI_NAMES = ("wallet-py3k", "py-pkpass", "edutap.wallet_apple")
TARGET_OF_LIMIT, TARGET_OF_PEERS, TARGET_MEGABYTES, TARGET_OF_IMPORT = 0.75, 15, 60, 3
MEMORY_PASSES = 200
IMPORT = """
import time
started = time.perf_counter()
import cryptography.hazmat.primitives.serialization.pkcs7
print(time.perf_counter() - started)
"""
IMAGES = {
    "icon.png": 38,
    "icon@2x.png": 76,
    "icon@3x.png": 114,
    "logo.png": 44,
    "logo@2x.png": 100,
    "logo@3x.png": 150,
    "footer.png": 8,
    "footer@2x.png": 10,
}
TERMS = "The carrier's conditions of carriage apply. Be at the gate twenty minutes before departure. "
PASS_JSON: dict[str, Any] = {
    "formatVersion": 1,
    "description": "Boarding pass",
    "organizationName": "Acme Air",
    "passTypeIdentifier": PASS_TYPE_IDENTIFIER,
    "teamIdentifier": TEAM_IDENTIFIER,
    "serialNumber": "TEMPLATE",
    "logoText": "Acme Air",
    "foregroundColor": "rgb(255, 255, 255)",
    "labelColor": "rgb(255, 179, 0)",
    "backgroundColor": "rgb(18, 52, 86)",
    "barcodes": [{"format": "PKBarcodeFormatAztec", "message": "M1", "messageEncoding": "iso-8859-1"}],
    "boardingPass": {
        "transitType": "PKTransitTypeAir",
        "headerFields": [{"key": "gate", "label": "GATE", "value": "A1", "changeMessage": "Gate changed to %@"}],
        "primaryFields": [
            {"key": "from", "label": "San Francisco", "value": "SFO"},
            {"key": "to", "label": "New York", "value": "JFK"},
        ],
        "auxiliaryFields": [
            {"key": "seat", "label": "SEAT", "value": "14C"},
            {"key": "group", "label": "GROUP", "value": "B"},
        ],
        "secondaryFields": [{"key": "passenger", "label": "PASSENGER", "value": "Ada Lovelace"}],
        "backFields": [{"key": "terms", "label": "Terms", "value": TERMS * 20}],
    },
}

console = Console()


@dataclass(frozen=True)
class PassPeer:
    """A program that makes passes: its name in the report and its command, or None if its tools are not installed."""

    name: str
    prepare: Callable[[], list[str] | None]


def _ours(module: str, *arguments: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"benchmarks.pass_peers.{module}", *arguments]


def _python(*arguments: str) -> Callable[[], list[str]]:
    def prepare() -> list[str]:
        python = FOLDER / "pass-venv" / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", FOLDER / "pass-venv"], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PYTHON_PEERS]
        subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
        return [str(python), str(PEERS / arguments[0]), *arguments[1:]]

    return prepare


def _node(script: str) -> Callable[[], list[str] | None]:
    def prepare() -> list[str] | None:
        if not shutil.which("node") or not shutil.which("npm"):
            return None
        folder = FOLDER / "pass-node"
        if not (folder / "node_modules" / "@walletpass").exists():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["npm", "install", "--silent", "--prefix", folder, *NODE_PEERS], check=True)
        for source in PEERS.glob("*.mjs"):
            shutil.copy(source, folder)  # node searches modules beside the script
        return ["node", str(folder / script)]

    return prepare


ALL = {
    peer.name: peer
    for peer in (
        PassPeer("passwire", _ours("passwire")),
        PassPeer("passwire, own image", _ours("passwire", OWN_IMAGE)),
        PassPeer("rsa_limit", _ours("rsa_limit")),
        PassPeer("wallet-py3k", _python("wallet_style.py", "wallet.models")),
        PassPeer("py-pkpass", _python("wallet_style.py", "py_pkpass.models")),
        PassPeer("edutap.wallet_apple", _python("edutap_apple.py")),
        PassPeer("passkit-generator", _node("passkit_generator.mjs")),
        PassPeer("pass-js", _node("pass_js.mjs")),
    )
}


def make_template(folder: Path, images: Mapping[str, int]) -> int:
    """Write a template; returns the size of an image in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pass.json").write_text(json.dumps(PASS_JSON, separators=(",", ":")))
    for name, size in images.items():
        (folder / name).write_bytes(noise(size, seed=size))
    return sum((folder / name).stat().st_size for name in images)


def measure(name: str, command: list[str], job: PassJob, path: Path) -> float:
    """Measure one round of a peer; returns passes per second."""
    path.write_text(json.dumps(asdict(job)))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, str(path)], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    report = json.loads(done.stdout.splitlines()[-1])
    if name != "rsa_limit":
        look_into(name, Path(job.output).read_bytes(), job, path.parent)
    return float(report["count"] / report["seconds"])


def look_into(name: str, made: bytes, job: PassJob, work: Path) -> None:
    """Check a pass: its serial number, its images, and a signature of its manifest that openssl accepts."""
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        content = json.loads(archive.read("pass.json"))
        lacking = set(IMAGES) - set(archive.namelist())
        for member in ("manifest.json", "signature"):
            (work / member).write_bytes(archive.read(member))
    if lacking or not content["serialNumber"].startswith("BENCH-"):
        sys.exit(f"{name}: its pass lacks {lacking}")
    command = [
        "openssl",
        "smime",
        "-verify",
        "-inform",
        "DER",
        "-in",
        "signature",
        "-content",
        "manifest.json",
        "-noverify",
    ]
    command += ["-certfile", job.certificate, "-out", "/dev/null"]
    if subprocess.run(command, cwd=work, capture_output=True, check=False).returncode:
        console.print(f"[yellow]{name}: openssl does not verify its signature")


def measure_fresh(job: PassJob, work: Path, rounds: int) -> tuple[float, float, float]:
    """Measure a new process: seconds until its first pass, seconds of the import, peak megabytes (1 MB template)."""
    path = work / "fresh.json"
    path.write_text(json.dumps(asdict(job)))
    large = work / "large.pass"
    make_template(large, {"icon@2x.png": 76, "strip@3x.png": 590})
    large_path = work / "large.json"
    large_path.write_text(json.dumps({**asdict(job), "folder": str(large)}))

    def output(*command: str) -> Any:  # noqa: ANN401 - JSON
        done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    module = "benchmarks.pass_peers.first_pass"
    firsts, imports = [], []
    for _ in range(rounds * 2):
        firsts.append(float(output("-m", module, "1", str(path))["first"]))
        imports.append(float(output("-c", IMPORT)))
    peak = float(output("-m", module, str(MEMORY_PASSES), str(large_path))["peak_megabytes"])
    return statistics.median(firsts), statistics.median(imports), peak


def main() -> None:
    """Measure, print, write `.passwire/bench/pass.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds per peer and round")
    options = parser.parse_args()
    work = FOLDER / "pass"
    size = make_template(work / "bench.pass", IMAGES)
    console.print(f"pass.json {(work / 'bench.pass' / 'pass.json').stat().st_size} bytes, 8 PNGs of {size} bytes")
    chain = make_development_chain(work, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER)
    job = PassJob(
        folder=str(work / "bench.pass"),
        certificate=str(chain.pass_type_certificate),
        private_key=str(chain.pass_type_key),
        intermediate=str(chain.intermediate),
        pass_type_identifier=PASS_TYPE_IDENTIFIER,
        team_identifier=TEAM_IDENTIFIER,
        web_service_url="https://passes.example.com/api",
        authentication_token="1.benchmark-token-of-a-pass",
        seconds=options.seconds,
        output=str(work / "made.pkpass"),
    )
    commands: dict[str, list[str]] = {}
    for name, peer in ALL.items():
        command = peer.prepare()
        if command is None:
            console.print(f"{name}: node and npm are not installed; it is left out")
        else:
            commands[name] = command
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(options.rounds):
        console.print(f"round {number + 1} of {options.rounds}")
        for name, command in commands.items():
            rates[name].append(measure(name, command, job, work / "job.json"))
    medians = {name: statistics.median(of) for name, of in rates.items()}
    report = {
        "unit": "passes/s",
        "rounds": options.rounds,
        "median": {name: round(median, 1) for name, median in medians.items()},
    }
    (FOLDER / "pass.json").write_text(json.dumps(report, indent=2) + "\n")
    _print(rates, medians)
    _print_targets(medians, *measure_fresh(job, work, options.rounds))
    console.print(f"written to {FOLDER / 'pass.json'}")


def _print(rates: dict[str, list[float]], medians: dict[str, float]) -> None:
    table = Table(title="passes per second, one process, RSA-2048")
    table.add_column("maker", min_width=max(map(len, rates)))
    for heading in ("passes/s", "lowest", "highest", "of the limit", "passwire is"):
        table.add_column(heading, justify="right")
    for name, of in rates.items():
        table.add_row(
            name,
            f"{medians[name]:,.0f}",
            f"{min(of):,.0f}",
            f"{max(of):,.0f}",
            f"{medians[name] / medians['rsa_limit']:.1%}",
            f"{medians['passwire'] / medians[name]:.2f} times",
        )
    console.print(table)


def _print_targets(medians: dict[str, float], first: float, imported: float, peak: float) -> None:
    fastest = max(PYPI_NAMES, key=lambda name: medians[name])
    of_limit = medians["passwire"] / medians["rsa_limit"]
    of_peers = medians["passwire"] / medians[fastest]
    for met, line in (
        (of_limit >= TARGET_OF_LIMIT, f"{of_limit:.1%} of the bare signature's rate (at least {TARGET_OF_LIMIT:.0%})"),
        (
            of_peers >= TARGET_OF_PEERS,
            f"{of_peers:.1f} times the fastest PyPI peer, {fastest} (at least {TARGET_OF_PEERS})",
        ),
        (
            peak < TARGET_MEGABYTES,
            f"{peak:.1f} MB peak with a 1 MB template, {MEMORY_PASSES} passes (under {TARGET_MEGABYTES})",
        ),
        (
            first <= TARGET_OF_IMPORT * imported,
            (
                f"{first * 1000:.0f} ms to the first pass of a fresh process, {first / imported:.1f} times the "
                f"{imported * 1000:.0f} ms for importing cryptography's PKCS#7 (at most {TARGET_OF_IMPORT})"
            ),
        ),
    ):
        console.print(f"{'[green]met[/]   ' if met else '[red]missed[/]'} {line}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
