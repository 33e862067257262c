"""`gridlink store`: the bundles that lie in the stores of a site, and their removal."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from appmanager.transfer.listing import Listed, listed, take_off_list
from appmanager.transfer.putting import discard
from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.session import run, session
from gridlink.cli.stores import Reached, stores
from gridlink.errors import Refused

COLUMNS = ("module", "version", "store", "mib", "sent", "digest")
SHOWN = 12  # characters of a digest
MIB = 1024 * 1024


@click.command()
@click.argument("name", default="")
@click.option("--to", default="", metavar="VERSION", help="Of this version alone.")
@click.option("--remove", is_flag=True, help="Remove those of NAME: a store that is full takes no more.")
@JSON
@click.pass_obj
def command(options: Options, name: str, to: str, remove: bool, as_json: bool) -> None:
    """Show the bundles that lie in a site's stores, which `install NAME` takes. Each is kept for seven days."""
    if remove and not name:
        raise click.UsageError("--remove needs the NAME of a module")
    run(_store(options, name, to, remove, as_json))


async def _store(options: Options, name: str, version: str, remove: bool, as_json: bool) -> None:
    async with session(options) as site:
        there = [
            (store, one)
            for store in await stores(site, looks=True)
            for one in await listed(store.jetstream, site.where.site, store.domain)
        ]
        wanted = [(at, one) for at, one in there if name in ("", one.name) and version in ("", one.version)]
        if remove:
            if not wanted:
                what = f"{name} {version}".strip()
                raise Refused(f"{what} isn't in a store of site {site.where.site}: `gridlink store` lists what is")
            await _removed(site.where.site, there, wanted)
    if as_json:
        print_json({"removed" if remove else "bundles": [{"store": at.domain, **asdict(one)} for at, one in wanted]})
    elif remove:
        click.echo("\n".join(f"{one.name} {one.version}: removed from store {at.domain}" for at, one in wanted))
    else:
        print_table(COLUMNS, [_row(at, one) for at, one in wanted])


async def _removed(site: str, there: list[tuple[Reached, Listed]], wanted: list[tuple[Reached, Listed]]) -> None:
    """Takes them off the list, and removes each file that nothing else on it names."""
    stay = {(at.domain, one.source) for at, one in there if (at, one) not in wanted}
    for at, one in wanted:
        await take_off_list(at.jetstream, site, one)
        if (at.domain, one.source) not in stay:
            await discard(at.jetstream, site, one.reference)


def _row(at: Reached, one: Listed) -> tuple[str, ...]:
    sent = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.at_s))
    return one.name, one.version, at.domain, f"{one.reference.size_bytes / MIB:.1f}", sent, one.digest[:SHOWN]
