"""`gridlink history`: the commands that changed a machine's software, from the record of its AppManager."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from appmanager.orders import History
from gridlink.cli.call import explained, ready
from gridlink.cli.operate import appmanager
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.session import run, session
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
def command(options: Options, module: str, last: int, verify: bool, as_json: bool) -> None:
    """Show the commands that changed the modules of a machine, and how they ended."""
    run(_history(options, module, last, verify, as_json))


async def _history(options: Options, module: str, last: int, verify: bool, as_json: bool) -> None:
    order = {"module": module, "last": last, "verify": verify}
    async with session(options) as site:
        to = appmanager(site, module).instance
        sender = await ready(site)
        try:
            found = await sender.request(to, "history", order, reply=History, timeout_s=WITHIN_S)
        except GridlinkError as error:
            raise explained(error, to, "history") from error
    if as_json:
        for entry in found.entries:
            print_json(asdict(entry), indent=False)
        if found.verified is not None:
            print_json({"verified": found.verified}, indent=False)
        return
    rows = [
        [str(e.number), _time(e.at_s), e.kind, e.module, e.outcome, e.who, e.signed[:SHOWN], " ".join(e.reason.split())]
        for e in found.entries
    ]
    print_table(COLUMNS, rows)
    if found.verified is not None:
        click.echo(f"verified: {found.verified} entries are as they were written")


def _time(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
