"""`cost`: estimates the monthly cost of a stage before it is deployed."""

from dataclasses import asdict
from typing import Annotated

import typer

from infra.commands.options import JsonOption
from infra.core.terminal import standard_output, write_json, write_table
from infra.deploy.cost import prices
from infra.deploy.cost.bill import PASS_KILOBYTES, BillLine, Usage, bill


def cost(
    devices: Annotated[int, typer.Option(min=0, help="Phones that have a pass.")],
    updates_per_day: Annotated[float, typer.Option(min=0, help="Updates per phone and day.")],
    passes_per_device: Annotated[int, typer.Option(min=1, help="Passes of one type per phone.")] = 1,
    devices_per_pass: Annotated[int, typer.Option(min=1, help="Phones that have the same pass.")] = 1,
    pass_kilobytes: Annotated[float, typer.Option(min=0, help="Size of a downloaded pass.")] = PASS_KILOBYTES,
    *,
    as_json: JsonOption = False,
) -> None:
    """Estimate the monthly bill from counted requests and list prices, without free tiers and discounts.

    Example: passwire cost --devices 100000 --updates-per-day 3
    """
    usage = Usage(
        devices=devices,
        updates_per_day=updates_per_day,
        passes_per_device=passes_per_device,
        devices_per_pass=devices_per_pass,
        pass_kilobytes=pass_kilobytes,
    )
    lines = bill(usage)
    total = sum(line.dollars for line in lines)
    if as_json:
        found = [{"what": line.what, "quantity": line.quantity, "dollars": round(line.dollars, 4)} for line in lines]
        report = {"region": prices.REGION, "prices_of": prices.READ_ON, "usage": asdict(usage), "lines": found}
        write_json({**report, "dollars_per_month": round(total, 2)})
        return
    _show(lines, total)


def _show(lines: list[BillLine], total: float) -> None:
    rows = [(line.what, f"{line.quantity:,.1f}", f"{line.dollars:,.2f}") for line in lines]
    head = ("per month", "quantity", "US dollars")
    write_table(head, [*rows, ("total", "", f"{total:,.2f}")], numbers=head[1:])
    standard_output().print(f"list prices of {prices.REGION}, {prices.READ_ON}; no free tier, no discount")
