"""`make bench-push`: compares this service's push client with the alternatives, on one stand-in for APNs.

Rounds are interleaved, so that other load on the machine affects all alike. Peers are installed into `.passwire/bench`.
A peer whose tools (go, node, h2load) are not installed is named and left out.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.peers.job import Job
from chalicelib.apns.credentials import ProviderToken
from infra.local.apns import ApnsStandIn
from infra.local.certificates import KEY_ID, make_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER

REPOSITORY = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
FOLDER = REPOSITORY / ".passwire" / "bench"
LATENCIES_MS = (0, 40)
TOKENS = 1000
STREAMS = 1000
SAMPLE_SECONDS = 0.05
H2LOAD_EARLY_STREAMS = 100
"""The number of streams that h2load may open before it reads SETTINGS; all but one are refused."""
AIOAPNS = "aioapns==4.0"
NODE_APN = "@parse/node-apn@8.1.0"

console = Console()


@dataclass(frozen=True)
class Peer:
    """A client to measure.

    Args:
        name: its name in the report.
        count: pushes per round, enough for about a second.
        prepare: installs it; returns its command, or None if its tools are not installed.
    """

    name: str
    count: int
    prepare: Callable[[], list[str] | None]


@dataclass(frozen=True)
class Figures:
    """The measurements of a round."""

    per_second: float
    cpu_seconds_per_10000: float
    peak_megabytes: float


def _ours(module: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"benchmarks.peers.{module}"]


def _aioapns() -> list[str]:
    python = FOLDER / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", AIOAPNS], check=True)
    return [str(python), str(PEERS / "aioapns_client.py")]


def _node(script: str) -> Callable[[], list[str] | None]:
    def prepare() -> list[str] | None:
        if not shutil.which("node") or not shutil.which("npm"):
            return None
        folder = FOLDER / "node"
        if not (folder / "node_modules" / "@parse" / "node-apn").exists():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["npm", "install", "--silent", "--prefix", folder, NODE_APN], check=True)
        for needed in (script, "node_measure.js"):
            shutil.copy(PEERS / needed, folder)  # node searches modules beside the script
        return ["node", str(folder / script)]

    return prepare


def _go() -> list[str] | None:
    if not shutil.which("go"):
        return None
    binary = FOLDER / "go-push"
    environment = {**os.environ, "GOCACHE": str(FOLDER / "go-cache"), "GO111MODULE": "off"}
    subprocess.run(["go", "build", "-o", binary, PEERS / "go" / "main.go"], check=True, env=environment)
    return [str(binary)]


def _h2load() -> list[str] | None:
    return ["h2load"] if shutil.which("h2load") else None


PEERS_BY_NAME = {
    peer.name: peer
    for peer in (
        Peer("passwire", 60_000, _ours("passwire")),
        Peer("httpx", 1_500, _ours("httpx_client")),
        Peer("aioapns", 6_000, _aioapns),
        Peer("node-apn", 15_000, _node("node_apn.js")),
        Peer("node-http2", 15_000, _node("node_http2.js")),
        Peer("go", 40_000, _go),
        Peer("h2load", 100_000, _h2load),
    )
}


@contextmanager
def apns_stand_in(work: Path) -> Iterator[tuple[Job, str]]:
    """Run a stand-in for APNs; yields a job for it and its control URL."""
    chain = make_development_chain(work, pass_type_identifier=PASS_TYPE_IDENTIFIER, team_identifier=TEAM_IDENTIFIER)
    credential = ProviderToken(
        team_identifier=TEAM_IDENTIFIER, key_id=KEY_ID, private_key=chain.provider_key.read_text()
    )
    authorization = credential.authorization(time.time())
    assert authorization
    identity = work / "identity.pem"
    identity.write_text(chain.pass_type_certificate.read_text() + chain.pass_type_key.read_text())
    with ApnsStandIn.start(
        certificate=chain.apns_server_certificate,
        private_key=chain.apns_server_key,
        client_ca=chain.intermediate,
        provider_keys={KEY_ID: chain.provider_public_key},
    ) as stand_in:
        url = httpx.URL(stand_in.apns_url)
        job = Job(
            url=stand_in.apns_url,
            host=url.host,
            port=url.port or 443,
            ca=str(chain.root),
            key=str(chain.provider_key),
            identity=str(identity),
            key_id=KEY_ID,
            team_id=TEAM_IDENTIFIER,
            topic=PASS_TYPE_IDENTIFIER,
            authorization=authorization.decode(),
            tokens=[hashlib.sha256(str(number).encode()).hexdigest() for number in range(TOKENS)],
            count=0,
            streams=STREAMS,
        )
        yield job, stand_in.control_url


def measure(command: list[str], job: Job, work: Path) -> Figures:
    """Measure one round of a peer."""
    if command == ["h2load"]:
        return _measure_h2load(job, work)
    path = work / "job.json"
    path.write_text(json.dumps(asdict(job)))
    output, _, peak = _run([*command, str(path)])
    report = json.loads(output.splitlines()[-1])
    if report["delivered"] != job.count:
        console.print(f"[red]{command[-1]}: {job.count - report['delivered']} of {job.count} were not delivered")
    return Figures(
        per_second=report["delivered"] / report["seconds"],
        cpu_seconds_per_10000=report["cpu_seconds"] / job.count * 10_000,
        peak_megabytes=peak,
    )


def _measure_h2load(job: Job, work: Path) -> Figures:
    uris, body = work / "uris.txt", work / "body.json"
    uris.write_text("".join(f"{job.url}/3/device/{token}\n" for token in job.tokens))
    body.write_text("{}")
    command = ["h2load", "-n", str(job.count), "-c", "1", "-m", str(job.streams), "-i", str(uris), "-d", str(body)]
    for name, value in (
        ("authorization", job.authorization),
        ("apns-topic", job.topic),
        ("apns-expiration", "1800000000"),
    ):
        command += ["-H", f"{name}: {value}"]
    output, cpu, peak = _run(command)
    found = re.search(r"([\d.]+) req/s", output)
    delivered = re.search(r"status codes: (\d+) 2xx", output)
    if not found or not delivered or int(delivered[1]) < job.count - H2LOAD_EARLY_STREAMS:
        console.print(f"[red]h2load: {delivered[0] if delivered else output}")
    return Figures(float(found[1]) if found else 0.0, cpu / job.count * 10_000, peak)


def _run(command: list[str]) -> tuple[str, float, float]:
    """Run a command; returns its output (a few lines, which fit into the pipe), CPU seconds, and peak megabytes.

    The peak of wait4 would include that of this process, whose memory the child has between fork and exec.
    """
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, _peak_megabytes(process.pid))
            time.sleep(SAMPLE_SECONDS)
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} {command[-1]} failed")
    return output, usage.ru_utime + usage.ru_stime, peak


def _peak_megabytes(process_id: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0  # the line is missing after its end


def main() -> None:
    """Measure, print, write `.passwire/bench/push.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default=",".join(PEERS_BY_NAME), help="names, separated by commas")
    options = parser.parse_args()
    work = FOLDER / "push"
    work.mkdir(parents=True, exist_ok=True)
    commands: dict[str, list[str]] = {}
    for name in options.peers.split(","):
        command = PEERS_BY_NAME[name].prepare()
        if command is None:
            console.print(f"{name}: its tools are not installed; it is left out")
        else:
            commands[name] = command
    figures: dict[int, dict[str, list[Figures]]] = {
        latency: {name: [] for name in commands} for latency in LATENCIES_MS
    }
    with apns_stand_in(work) as (job, control_url):
        for number in range(options.rounds):
            console.print(f"round {number + 1} of {options.rounds}")
            for latency in LATENCIES_MS:
                httpx.put(f"{control_url}/faults", json={"latency_ms": latency}).raise_for_status()
                for name, command in commands.items():
                    httpx.delete(f"{control_url}/pushes").raise_for_status()
                    due = replace(job, count=PEERS_BY_NAME[name].count)
                    figures[latency][name].append(measure(command, due, work))
    report = {f"{latency}ms": _summary(figures[latency], options.rounds) for latency in LATENCIES_MS}
    (FOLDER / "push.json").write_text(json.dumps(report, indent=2) + "\n")
    for latency in LATENCIES_MS:
        _print(latency, figures[latency])
    console.print(f"written to {FOLDER / 'push.json'}")


def _summary(figures: dict[str, list[Figures]], rounds: int) -> dict[str, object]:
    def medians(attribute: str, digits: int) -> dict[str, float]:
        return {
            name: round(statistics.median(getattr(figure, attribute) for figure in of), digits)
            for name, of in figures.items()
        }

    return {
        "unit": "pushes/s",
        "rounds": rounds,
        "median": medians("per_second", 0),
        "cpu_seconds_per_10000": medians("cpu_seconds_per_10000", 3),
        "peak_megabytes": medians("peak_megabytes", 1),
    }


def _print(latency: int, figures: dict[str, list[Figures]]) -> None:
    table = Table(title=f"{latency} ms of latency, one connection, {STREAMS} streams")
    table.add_column("client")
    for heading in ("pushes/s", "lowest", "highest", "passwire is", "CPU s / 10,000", "peak MB"):
        table.add_column(heading, justify="right")
    ours = statistics.median(figure.per_second for figure in figures["passwire"]) if "passwire" in figures else 0.0
    for name, of in figures.items():
        speeds = [figure.per_second for figure in of]
        median = statistics.median(speeds)
        table.add_row(
            name,
            f"{median:,.0f}",
            f"{min(speeds):,.0f}",
            f"{max(speeds):,.0f}",
            f"{ours / median:.2f} times" if median else "-",
            f"{statistics.median(figure.cpu_seconds_per_10000 for figure in of):.3f}",
            f"{statistics.median(figure.peak_megabytes for figure in of):.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
