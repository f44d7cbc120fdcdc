"""`make bench-rollout`: measures a rollout until the last phone shows it, paced and unpaced, in the local run.

Headless phones (`infra/local/phones.py`) register. Then one pass that all of them hold changes, and after that one pass
per phone. The gateway's token bucket is in front, as in API Gateway. Paced, the stage notifies half as many devices per
second as the bucket takes requests, since each phone makes two. Unpaced, it notifies all of them at once. During the
paced change of the shared pass, passes of one holder change too, and must not wait behind it.

The limit of a rollout is the time that the bucket needs for two requests per phone. All of AWS is one Python process
here, so the rate is much lower than on AWS; `passwire simulate` computes the same for AWS.
"""

import argparse
import asyncio
import json
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
from rich.console import Console
from rich.table import Table

from chalicelib.aws.secrets import Secrets
from chalicelib.aws.tables import Store
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.settings import Settings
from infra.core.phone_retries import Retries
from infra.local.phones import HeadlessPhone, PhoneCounts, Phones, Shown
from infra.local.run import LocalRun, local_run
from tests.support.strict import StrictAws

FOLDER = Path(__file__).parents[1] / ".passwire" / "bench"
PHONES = 3000
RATE = 40.0
"""Requests per second of the bucket, fewer than the embedded AWS serves on two cores."""
BURST_SECONDS = 1.0
"""The bucket's burst, as seconds of its rate. The embedded AWS stops for up to a second now and then."""
NO_PACING = 1_000_000
REQUESTS_PER_PHONE = 2
NEIGHBOURS = 60
NEIGHBOUR_SECONDS = 2.0
WRITES_PER_REQUEST = 25
QUIET_SECONDS = 20.0
"""A run without a new push or update for so long is over, if no phone waits to repeat a call."""
PATIENCE_FACTOR = 6.0
"""The longest time of a run, as a multiple of its limit, plus a minute."""
SAMPLE_SECONDS = 1.0
REGISTRATIONS_AT_ONCE = 4
RECORDED = Path(__file__).parents[1] / "tests" / "simulation" / "recorded_rollout.json"
DOCUMENTED = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TABLE_BEGIN, TABLE_END = "<!-- bench-rollout: begin -->\n", "<!-- bench-rollout: end -->\n"
CAMPAIGN = "pass.dev.passwire.campaign"
"""The pass type of the passes with one holder: a phone's tag belongs to a pass type, so the two do not mix."""
RETRIES = Retries()
RATE_VARIABLE = "PASSWIRE_PUSH_RATE_LIMIT"

console = Console(width=130)


@dataclass
class RolloutFigures:
    """The results of one change, or of one change of each pass.

    Args:
        phones: phones that hold a changed pass.
        refused: requests that were answered with 429.
        gave_up: phones that do not show the change at the end.
        first_s: seconds from the first write until a phone shows the change.
        median_s: the same for the median phone; of all phones, also those that gave up.
        last_s: the same for the last phone that shows it.
        limit_s: seconds that the bucket needs for two requests per phone.
        ratio: `last_s` to `limit_s`.
        failed: responses 5xx, and requests without a response.
        failures: the same by status, or by the name of the error.
        requests_per_phone: requests, also repeated ones.
        read_units_per_phone: read units of DynamoDB, by table.
        cpu_seconds_per_10000_phones: of the functions.
        first_push_s: seconds from the first write to the first push.
        last_push_s: seconds from the first write to the last push.
        list_s: mean duration of a list call, as the phone sees it.
        download_s: the same for a download.
        refusal_s: the same for a refused call.
        updates: seconds at which each phone showed the change, in order.
    """

    phones: int
    refused: int
    gave_up: int
    first_s: float
    median_s: float
    last_s: float
    limit_s: float
    ratio: float
    failed: int
    failures: dict[str, int]
    requests_per_phone: float
    read_units_per_phone: dict[str, float]
    cpu_seconds_per_10000_phones: dict[str, float]
    first_push_s: float
    last_push_s: float
    list_s: float
    download_s: float
    refusal_s: float
    updates: list[float] = field(repr=False)


class FunctionCpu:
    """Measures the CPU seconds of each Lambda function, also of processes that have ended, up to their last sample."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._roles = {name: role for role, name in names.items()}
        self._used: dict[int, tuple[str, float]] = {}

    def sample(self) -> dict[str, float]:
        for process in psutil.Process().children(recursive=True):
            try:
                role = self._roles.get(process.environ().get("AWS_LAMBDA_FUNCTION_NAME", ""))
                if role is not None:
                    times = process.cpu_times()
                    self._used[process.pid] = (role, times.user + times.system)
            except psutil.Error:
                continue
        total: dict[str, float] = defaultdict(float)
        for role, seconds in self._used.values():
            total[role] += seconds
        return total


class RolloutBench:
    """A local run with passes on phones.

    Args:
        stack: the local run.
        count: the number of phones.
        retries: how phones repeat failed calls.
        campaign: the pass type of the passes with one holder.
    """

    def __init__(
        self, stack: LocalRun, count: int, *, retries: Retries | None = None, campaign: str = CAMPAIGN
    ) -> None:
        self._stack = stack
        self._aws = StrictAws(stack)
        self._retries = retries or Retries()
        self._table = boto3.resource("dynamodb").Table(stack.tables["passes"])
        self._client = boto3.client("dynamodb")
        keys = Secrets(stage=stack.stage).authentication_keys()
        tag = secrets.token_hex(3)
        self._shared = PassId(stack.pass_type_identifier, f"SHARED-{tag}")
        self._own = [PassId(campaign, f"OWN-{tag}-{number}") for number in range(count)]
        self._narrow = [PassId(campaign, f"NARROW-{tag}-{number}") for number in range(NEIGHBOURS)]
        shared_token = keys.issue(self._shared, item_token=None).value
        self.phones = [
            HeadlessPhone.holding({self._shared: shared_token, own: keys.issue(own, item_token=None).value})
            for own in self._own
        ]
        self._neighbours = [
            HeadlessPhone.holding({narrow: keys.issue(narrow, item_token=None).value}) for narrow in self._narrow
        ]
        self._cpu = FunctionCpu(stack.functions)
        self._changes = 0
        self._gate = ""
        self._shown_at: dict[str, float] = {}
        self._last_event = 0.0

    async def prepare(self) -> None:
        """Issue the passes, and register the phones."""
        self._gate = "A0"
        for ids in ([self._shared], self._own, self._narrow):
            await asyncio.to_thread(self._write, ids)
        versions = boto3.resource("dynamodb").Table(self._stack.tables["versions"])
        last = {"pass_id": str(self._narrow[-1])}
        while "Item" not in await asyncio.to_thread(versions.get_item, Key=last, ConsistentRead=True):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        await asyncio.to_thread(self._register)
        lasting = Retries(attempts=20, first_delay_seconds=1, growth=1)
        async with self._running(self._neighbours, retries=lasting) as neighbours:
            await neighbours.register(self._neighbours)
        await self._warm_up()

    def _register(self) -> None:
        """Write the rows of the phones' registrations as the service does, without its API: thousands of calls would
        take longer than a rollout.
        """
        tables = self._stack.tables
        settings = Settings(
            stage=self._stack.stage,
            push_queue_url="",
            dead_letter_queue_url="",
            passes_table=tables["passes"],
            versions_table=tables["versions"],
            registrations_table=tables["registrations"],
            devices_table=tables["devices"],
        )
        registrations = Store.connect(settings).registrations

        def register(phone: HeadlessPhone) -> None:
            device = DeviceLibraryIdentifier(phone.device_library_identifier)
            for held in phone.passes.values():
                for each in held.values():
                    registrations.create(device, each.pass_id, push_token=PushToken(phone.push_token), at=time.time())

        with ThreadPoolExecutor(REGISTRATIONS_AT_ONCE) as threads:
            list(threads.map(register, self.phones))

    async def _warm_up(self) -> None:
        """Change the pass of one neighbour, so that the functions have the credentials of its pass type."""
        self._gate = "A1"
        await asyncio.to_thread(self._write, self._narrow[:1])
        for _ in range(round(QUIET_SECONDS / SAMPLE_SECONDS)):
            if self._neighbours[0].push_token in await asyncio.to_thread(self._arrivals):
                return
            await asyncio.sleep(SAMPLE_SECONDS)

    def limit(self, *, rate: float, devices_per_second: float) -> None:
        """Set the rate of the gateway's stage, and the rate at which devices are notified."""
        gateway = boto3.client("apigateway")
        limits = {"rateLimit": str(rate), "burstLimit": str(max(1, round(rate * BURST_SECONDS)))}
        patch = [{"op": "replace", "path": f"/*/*/throttling/{name}", "value": limits[name]} for name in limits]
        api_id = httpx.URL(self._stack.api_url).path.split("/")[2]
        gateway.update_stage(restApiId=api_id, stageName="api", patchOperations=patch)
        functions = boto3.client("lambda")
        for role in ("push", "push_worker"):
            name = self._stack.functions[role]
            variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
            variables[RATE_VARIABLE] = str(round(devices_per_second))
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})

    async def change(
        self, *, shared: bool, rate: float, neighbours: bool = False
    ) -> tuple[RolloutFigures, list[float]]:
        """Change the shared pass, or the own pass of each phone, and wait until no phone does anything any more.

        Returns:
            The figures, and the seconds from the change of each neighbour to its push.
        """
        self._changes += 1
        self._gate = f"B{self._changes}"
        self._shown_at = {}
        self._aws.record_units(on=True)
        before = self._cpu.sample()
        await asyncio.to_thread(httpx.delete, f"{self._stack.apns_control_url}/pushes")
        limit = REQUESTS_PER_PHONE * len(self.phones) / rate
        async with self._running(self.phones) as phones:
            started = self._last_event = time.time()
            await asyncio.to_thread(self._write, [self._shared] if shared else self._own)
            written: dict[str, float] = {}
            beside = asyncio.create_task(self._change_neighbours(written)) if neighbours else None
            await self._finish(phones, until=started + PATIENCE_FACTOR * limit + 60)
            if beside:
                beside.cancel()
                await self._neighbours_get_pushes(written)
            counts, failures = phones.counts, dict(phones.failures)
        after = self._cpu.sample()
        used = {role: after[role] - before.get(role, 0.0) for role in after}
        units = self._aws.record_units(on=False)
        arrivals = await asyncio.to_thread(self._arrivals)
        own = [at for phone in self.phones for at in arrivals.get(phone.push_token, ())]
        figures = self._figures(counts, failures, started=started, limit=limit, cpu=used, units=units, pushes=own)
        return figures, [arrivals.get(token, [math.inf])[0] - at for token, at in written.items()]

    async def _finish(self, phones: Phones, *, until: float) -> None:
        """Wait until all phones show the change, or until nothing has happened for a while."""
        pushes = 0
        while time.time() < until and len(self._shown_at) < len(self.phones):
            await asyncio.sleep(SAMPLE_SECONDS)
            self._cpu.sample()
            if phones.counts.pushes > pushes or phones.busy:
                pushes, self._last_event = phones.counts.pushes, time.time()
            if time.time() - self._last_event > QUIET_SECONDS:
                return

    async def _change_neighbours(self, written: dict[str, float]) -> None:
        """Change passes of one holder, one after the other, and note the times by push token."""
        for phone, narrow in zip(self._neighbours, self._narrow, strict=True):
            await asyncio.sleep(NEIGHBOUR_SECONDS)
            at = time.time()
            await asyncio.to_thread(self._write, [narrow])
            written[phone.push_token] = at

    async def _neighbours_get_pushes(self, written: Mapping[str, float]) -> None:
        """Wait for the pushes of the last changes, for as long as a rollout may be quiet."""
        for _ in range(round(QUIET_SECONDS / SAMPLE_SECONDS)):
            if written.keys() <= (await asyncio.to_thread(self._arrivals)).keys():
                return
            await asyncio.sleep(SAMPLE_SECONDS)

    def _arrivals(self) -> dict[str, list[float]]:
        """Return the times of the pushes to each phone, by push token."""
        arrivals: dict[str, list[float]] = httpx.get(f"{self._stack.apns_control_url}/arrivals", timeout=60).json()
        return arrivals

    def _figures(
        self,
        counts: PhoneCounts,
        failures: dict[str, int],
        *,
        started: float,
        limit: float,
        cpu: Mapping[str, float],
        units: Mapping[str, Any],
        pushes: Sequence[float],
    ) -> RolloutFigures:
        count = len(self.phones)
        times = sorted(at - started for at in self._shown_at.values())
        everyone = [*times, *[math.inf] * (count - len(times))]
        roles = {table: role for role, table in self._stack.tables.items()}
        return RolloutFigures(
            phones=count,
            refused=counts.refused,
            gave_up=count - len(times),
            first_s=_rounded(everyone[0]),
            median_s=_rounded(everyone[count // 2]),
            last_s=_rounded(times[-1] if times else math.inf),
            limit_s=_rounded(limit),
            ratio=_rounded(times[-1] / limit if times else math.inf),
            failed=counts.failed,
            failures=failures,
            requests_per_phone=_rounded(counts.requests / count),
            read_units_per_phone={
                roles[table]: _rounded(sum(of["read"] for of in by_key.values()) / count)
                for table, by_key in units.items()
                if table in roles
            },
            cpu_seconds_per_10000_phones={role: round(seconds / count * 10_000, 1) for role, seconds in cpu.items()},
            first_push_s=_rounded(min(pushes, default=math.inf) - started),
            last_push_s=_rounded(max(pushes, default=math.inf) - started),
            list_s=_rounded(counts.list_seconds / max(1, counts.lists)),
            download_s=_rounded(counts.download_seconds / max(1, counts.downloads)),
            refusal_s=_rounded(counts.refused_seconds / max(1, counts.refused)),
            updates=[_rounded(at) for at in times],
        )

    def _running(self, phones: Sequence[HeadlessPhone], *, retries: Retries | None = None) -> Any:  # noqa: ANN401
        return Phones.running(
            phones,
            api_url=self._stack.api_url,
            apns_control_url=self._stack.apns_control_url,
            on_shown=self._show,
            retries=retries or self._retries,
        )

    def _show(self, shown: Shown) -> None:
        (gate,) = shown.content["boardingPass"]["headerFields"]
        if gate["value"] == self._gate:
            self._shown_at.setdefault(shown.phone.push_token, shown.at)
            self._last_event = time.time()

    def _write(self, pass_ids: Iterable[PassId]) -> None:
        """Write passes as a pipeline does, with BatchWriteItem."""
        with self._table.batch_writer() as batch:
            for pass_id in pass_ids:
                item = {"pass_id": str(pass_id), "template": self._stack.template, "fields": {"gate": self._gate}}
                batch.put_item(Item=item)


async def run(stack: LocalRun, *, phones: int, rate: float) -> dict[str, Any]:
    """Measure all four rollouts; returns the report."""
    bench = RolloutBench(stack, phones)
    console.print(f"registering {phones:,} phones for {2 * phones:,} passes")
    started = time.monotonic()
    await bench.prepare()
    console.print(f"registered in {time.monotonic() - started:.0f} s")
    report: dict[str, Any] = {"paced": {}, "unpaced": {}}
    delays: list[float] = []
    for pacing, devices_per_second in (("paced", rate / REQUESTS_PER_PHONE), ("unpaced", NO_PACING)):
        bench.limit(rate=rate, devices_per_second=devices_per_second)
        for name in ("shared", "distinct"):
            narrow = (pacing, name) == ("paced", "shared")
            console.print(f"{pacing}, {name}: {phones:,} phones, {rate:g} requests per second")
            figures, of_neighbours = await bench.change(shared=name == "shared", rate=rate, neighbours=narrow)
            delays = delays or of_neighbours
            report[pacing][name] = asdict(figures)
            console.print(_line(figures), highlight=False)
    report["narrow_change_during_paced_shared"] = {
        "changes": len(delays),
        "p50_s": _percentile(delays, 50),
        "p99_s": _percentile(delays, 99),
    }
    report["settings"] = {"rate": rate, "burst": rate * BURST_SECONDS, "devices_per_second": rate / REQUESTS_PER_PHONE}
    return report


def _line(figures: RolloutFigures) -> str:
    failures = "".join(f", {count:,} x {name}" for name, count in sorted(figures.failures.items()))
    return (
        f"  last {figures.last_s:.1f} s of {figures.limit_s:.1f} s, {figures.refused:,} refused, "
        f"{figures.gave_up:,} gave up, {figures.failed:,} failed{failures}"
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile by the nearest-rank method."""
    ordered = sorted(values)
    return _rounded(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]) if ordered else math.nan


def _rounded(value: float) -> float:
    return round(value, 3) if math.isfinite(value) else value


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Replace infinite times, of phones that gave up, by null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(report: Mapping[str, Any]) -> None:
    table = Table(title="from the write until phones show it, in seconds", box=None)
    table.add_column("")
    for heading in (
        "first",
        "median",
        "last",
        "limit",
        "last/limit",
        "refused",
        "gave up",
        "requests/phone",
        "read units",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {f"{pacing}, {name}": report[pacing][name] for pacing in ("paced", "unpaced") for name in report[pacing]}
    for name, of in rows.items():
        times = [f"{of[key]:.1f}" for key in ("first_s", "median_s", "last_s", "limit_s")]
        units = sum(of["read_units_per_phone"].values())
        others = [f"{of['ratio']:.2f}", f"{of['refused']:,}", f"{of['gave_up']:,}", f"{of['requests_per_phone']:.2f}"]
        table.add_row(name, *times, *others, f"{units:.2f}")
    console.print(table)
    table = Table(title="CPU seconds per 10,000 phones, by function", box=None)
    roles = sorted({role for of in rows.values() for role in of["cpu_seconds_per_10000_phones"]})
    for heading in ("", *roles):
        table.add_column(heading, justify="right" if heading else "left")
    for name, of in rows.items():
        table.add_row(name, *(f"{of['cpu_seconds_per_10000_phones'].get(role, 0):.1f}" for role in roles))
    console.print(table)
    narrow = report["narrow_change_during_paced_shared"]
    console.print(
        f"a change of a pass with one holder during the paced change of the shared pass: push after "
        f"{narrow['p50_s']:.2f} s (p50), {narrow['p99_s']:.2f} s (p99) of {narrow['changes']}",
        highlight=False,
    )


def record(report: Mapping[str, Any]) -> None:
    """Replace the measurement that the simulation is compared with, and the table in the documentation."""
    slim = {
        key: {name: {k: v for k, v in of.items() if k != "updates"} for name, of in value.items()}
        if key in ("paced", "unpaced")
        else value
        for key, value in report.items()
    }
    RECORDED.write_text(json.dumps(_finite(slim), indent=2) + "\n")
    before, _, rest = DOCUMENTED.read_text().partition(TABLE_BEGIN)
    _, _, after = rest.partition(TABLE_END)
    DOCUMENTED.write_text(before + TABLE_BEGIN + _markdown(report) + TABLE_END + after)


def _markdown(report: Mapping[str, Any]) -> str:
    """Describe a measurement as a table."""
    settings, narrow = report["settings"], report["narrow_change_during_paced_shared"]
    lines = [
        f"{report['paced']['shared']['phones']:,} phones, {settings['rate']:g} requests per second.",
        "",
        "| | first, s | median, s | last, s | limit, s | last/limit | refused | gave up | read units per phone |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for pacing in ("paced", "unpaced"):
        for name, of in report[pacing].items():
            times = [f"{of[key]:.1f}" for key in ("first_s", "median_s", "last_s", "limit_s")]
            units = f"{sum(of['read_units_per_phone'].values()):.1f}"
            cells = [*times, f"{of['ratio']:.2f}", f"{of['refused']:,}", f"{of['gave_up']:,}", units]
            lines.append(f"| {pacing}, {name} | {' | '.join(cells)} |")
    shown = f"{narrow['p50_s']:.2f} s (p50) and {narrow['p99_s']:.2f} s (p99) of {narrow['changes']}"
    lines += [
        "",
        f"A change of a pass with one holder during the paced change of the shared pass: its push after {shown}.",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, print, write `.passwire/bench/rollout.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--phones", type=int, default=PHONES, help="number of phones")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second that the gateway accepts")
    parser.add_argument(
        "--record", action="store_true", help="write the result to the documentation and the simulation's test, too"
    )
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)

    def show(line: str) -> None:
        console.print(line, highlight=False)

    with local_run(FOLDER / "rollout", on_progress=show, fresh=True, any_pass_type=True) as stack:
        stack.use()
        report = asyncio.run(run(stack, phones=options.phones, rate=options.rate))
    (FOLDER / "rollout.json").write_text(json.dumps(_finite(report), indent=2) + "\n")
    _print(report)
    console.print(f"written to {FOLDER / 'rollout.json'}")
    if options.record:
        record(report)
        console.print(f"recorded in {RECORDED} and {DOCUMENTED}")


if __name__ == "__main__":
    main()
