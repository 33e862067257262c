"""`gridlink history`: the commands that changed a machine's software, from the record of its AppManager."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import click
import msgspec

from appmanager.orders import History
from gridlink.cli.call import explained, ready
from gridlink.cli.operate import appmanager, present
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.rollout import is_several
from gridlink.cli.session import Session, run, session
from gridlink.cli.sites import over_sites, rollout
from gridlink.cli.waves import Did, in_waves
from gridlink.errors import GridlinkError

WITHIN_S = 30.0
COLUMNS = ("no", "time", "command", "module", "outcome", "who", "signed", "reason")
SHOWN = 12  # characters of a key


@click.command()
@click.argument("module", default="")
@click.option("--last", type=click.IntRange(1, 500), default=50, show_default=True, help="So many, at most.")
@click.option("--verify", is_flag=True, help="Follow the chain of hashes: was anything changed in the record?")
@JSON
@click.pass_obj
@over_sites
def command(options: Options, module: str, last: int, verify: bool, as_json: bool) -> None:
    """Show the commands that changed the modules of a machine, and how they ended."""
    run(_history(options, {"module": module, "last": last, "verify": verify}, as_json))


async def _history(options: Options, order: dict[str, Any], as_json: bool) -> None:
    if is_several(options.site):
        await _of_sites(options, order, as_json)
        return
    async with session(options) as site:
        found = await _asked(site, order)
    if found.damaged:
        click.echo(f"damaged: {found.damaged}", err=True)
    if as_json:
        for document in _documents(found):
            print_json(document, indent=False)
        return
    print_table(COLUMNS, _rows(found))
    if found.verified is not None:
        click.echo(_verified(found))


async def _of_sites(options: Options, order: dict[str, Any], as_json: bool) -> None:
    """A line a site, and then one table of all; what comes from which site is its first column."""
    rows: dict[str, list[list[str]]] = {}

    async def work(name: str, _: object) -> Did:
        async with session(replace(options, site=name)) as site:
            found = await _asked(site, order)
        rows[name] = [[name, *row] for row in _rows(found)]
        line = _verified(found) if found.verified is not None else f"{len(found.entries)} commands"
        line = f"{line}; damaged: {found.damaged}" if found.damaged else line
        return Did(True, line, tuple(_documents(found)))

    plan = await rollout(options, harmless=True)
    try:
        await in_waves(plan, work, as_json)
    finally:
        if not as_json:
            print_table(("site", *COLUMNS), [row for name in plan.sites for row in rows.get(name, ())])


async def _asked(site: Session, order: dict[str, Any]) -> History:
    await present(site)
    to = appmanager(site, order["module"]).instance
    sender = await ready(site)
    try:
        found: History = await sender.request(to, "history", order, reply=History, timeout_s=WITHIN_S)
    except GridlinkError as error:
        raise explained(error, to, "history") from error
    return found


def _documents(found: History) -> list[dict[str, Any]]:
    entries = [msgspec.to_builtins(entry) for entry in found.entries]
    if found.verified is None:
        return entries
    return [*entries, {"verified": found.verified, "begins": found.begins, "before": found.before}]


def _rows(found: History) -> list[list[str]]:
    return [
        [str(e.number), _time(e.at_s), e.kind, e.module, e.outcome, e.who, e.signed[:SHOWN], " ".join(e.reason.split())]
        for e in found.entries
    ]


def _verified(found: History) -> str:
    told = f"verified: {found.verified} entries are as they were written"
    if found.begins == 1:
        return told
    return (
        f"{told}; the chain begins at entry {found.begins}, whose `before` is {found.before}: the older ones were "
        "dropped, since the record is full"
    )


def _time(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
