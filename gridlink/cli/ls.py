"""`gridlink ls`: the site's modules and their states, from the registry."""

from __future__ import annotations

from typing import Any

import click

from gridlink.cli.options import Options
from gridlink.cli.output import JSON, print_json, print_table
from gridlink.cli.session import run, session
from gridlink.registry import Entry

COLUMNS = ("instance", "state", "version", "mode", "pid", "roles", "topics", "reason")


@click.command()
@JSON
@click.pass_obj
def command(options: Options, as_json: bool) -> None:
    """List the site's modules and their states."""
    run(_ls(options, as_json))


async def _ls(options: Options, as_json: bool) -> None:
    async with session(options) as site:
        entries = site.entries()
    if as_json:
        print_json({"modules": [fields(entry) for entry in entries]})
    elif entries:
        print_table(COLUMNS, [row(entry) for entry in entries])
    else:
        click.echo(f"no module at site {site.where.site} of {site.where.url}: is it another site? (--site)", err=True)


def fields(entry: Entry) -> dict[str, Any]:
    """An instance for programs. The keys are part of the command line's contract."""
    return {
        "name": entry.name,
        "instance": entry.instance,
        "state": entry.state.value,
        "reason": entry.reason,
        "version": entry.version,
        "mode": entry.mode,
        "node": entry.node,
        "machine": entry.machine,
        "pid": entry.pid,
        "roles": list(entry.roles),
        "topics": list(entry.topics),
        "description": entry.description,
        "managed_by": list(entry.managed_by),
    }


def row(entry: Entry) -> tuple[str, ...]:
    """An instance for people, under COLUMNS."""
    pid = str(entry.pid or "")
    names = (", ".join(entry.roles), ", ".join(entry.topics))
    return (entry.instance, entry.state.value, entry.version, entry.mode, pid, *names, entry.reason)
