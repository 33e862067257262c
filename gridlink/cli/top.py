"""`gridlink top`: what each module and each process of the site takes, live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

import click

from gridlink.address import NODE
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, on_terminal, print_json, print_table
from gridlink.cli.session import Session, run, session
from gridlink.cli.top_model import SORTS, Look, ModuleRow, ProcessRow, module_rows, ordered, process_rows
from gridlink.errors import GridlinkError
from gridlink.node.footprint.report import NodeFootprint

ANSWER_S = 2.0
LEASE_S = 3.0  # a node counts for so long after it was asked last


@click.command()
@click.option("--sort", type=click.Choice(list(SORTS)), default="cpu", show_default=True, help="What comes first.")
@click.option("--once", is_flag=True, help="Look for one interval, print, and end.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks.",
)
@JSON
@click.pass_obj
def command(options: Options, sort: str, once: bool, interval_s: float, as_json: bool) -> None:
    """Show what each module and each process takes, until q or Ctrl-C.

    Time on the event loop is counted from now, and only while somebody looks; mean, p99 and longest are of one step,
    for which nothing else in that process runs. PSS, USS and RSS are a process's; `show MODULE --memory` tells its
    modules apart. Flash: what the process writes a day, at its pace so far; nothing in its first minute.
    """
    try:
        run(_top(options, sort, once, interval_s, as_json))
    except KeyboardInterrupt:
        return


Rows = tuple[list[ModuleRow], list[ProcessRow]]


async def _top(options: Options, sort: str, once: bool, interval_s: float, as_json: bool) -> None:
    async with session(options) as site:
        looks = _looks(site, interval_s)
        try:
            if on_terminal() and not once and not as_json:
                from gridlink.cli.top_live import live  # noqa: PLC0415 - rich, for people alone

                await live(site, looks, sort)
                return
            async for rows in looks:
                _print(rows, sort, as_json=as_json, indent=once)
                if once:
                    return
        finally:
            await looks.aclose()


async def _looks(site: Session, interval_s: float) -> AsyncGenerator[Rows, None]:
    """The rows of each interval; nothing before the first is over, for they are rates."""
    before = await look(site, interval_s)
    while True:
        await asyncio.sleep(interval_s)
        now = await look(site, interval_s)
        entries = site.entries()
        yield module_rows(entries, before, now), process_rows(entries, before, now)
        before = now


async def look(site: Session, interval_s: float) -> Look:
    """Asks every node at once. One that doesn't answer in time is left out."""
    for_s = max(LEASE_S, 3 * interval_s)
    nodes = sorted({entry.node for entry in site.entries() if entry.pid})
    found = await asyncio.gather(*(_ask(site, node, for_s) for node in nodes))
    return Look(time.monotonic(), {one.node: one for one in found if one is not None})


async def _ask(site: Session, node: str, for_s: float) -> NodeFootprint | None:
    try:
        return await site.plain.request(
            f"{NODE}@{node}", "footprint", {"for_s": for_s}, reply=NodeFootprint, timeout_s=ANSWER_S
        )
    except GridlinkError:
        return None  # gone, or busy: its modules are shown without numbers


def _print(rows: Rows, sort: str, *, as_json: bool, indent: bool) -> None:
    by_module, by_process = SORTS[sort]
    modules, processes = ordered(rows[0], by_module), ordered(rows[1], by_process)
    if as_json:
        document: dict[str, Any] = {
            "modules": [asdict(row) for row in modules],
            "processes": [asdict(row) for row in processes],
        }
        print_json(document, indent=indent)
        return
    from gridlink.cli.top_render import MODULE_CELLS, PROCESS_CELLS  # noqa: PLC0415 - rich, for people alone

    for cells, found in ((PROCESS_CELLS, processes), (MODULE_CELLS, modules)):
        print_table(tuple(cells), [[cell(row) for cell in cells.values()] for row in found])
        click.echo()
