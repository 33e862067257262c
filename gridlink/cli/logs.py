"""`gridlink logs`: the log lines of a managed directory's processes, in order of time."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict

import click
import msgspec

from appmanager.orders import LogRecord
from gridlink.cli.far_logs import far_logs
from gridlink.cli.options import STATE, NodeNotFound, Options
from gridlink.cli.output import JSON, on_terminal, print_json
from gridlink.cli.session import run
from gridlink.cli.sites import over_sites
from gridlink.node.log_files import LogDirectory, Record

POLL_S = 0.2
COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


@click.command()
@click.argument("name", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now, until Ctrl-C.")
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), metavar="N", help="The last N records only.")
@JSON
@click.pass_obj
@over_sites
def command(options: Options, name: str, follow: bool, count: int | None, as_json: bool) -> None:
    """Show the log of a managed directory (-C), of all modules or of the one named, in order of time.

    It is read from files and needs no running node. -f shows the last 10 records first; --json prints one a line.

    With --site (before or behind the command) it is that of a site's AppManager, asked for: the last 100 records, or N
    up to 500; of several sites, each line begins with the site.
    """
    if options.site:
        last = count if count is not None else 10 if follow else 100
        with contextlib.suppress(KeyboardInterrupt):
            run(far_logs(options, name, max(1, last), follow, lambda site, one: _far(site, one, as_json)))
        return
    path = options.managed / STATE / "logs"
    if not path.is_dir():
        raise NodeNotFound(
            f"there is no {path}: no node has run in {options.managed}: name another managed directory with -C DIR"
        )
    logs = LogDirectory(path)
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(logs):
        found = _of(logs.read(), name)
        wanted = 10 if follow and count is None else count
        _print(found if wanted is None else found[len(found) - min(wanted, len(found)) :], as_json)
        if not found and not follow:
            click.echo(f"no record of {name or 'any module'} in {path}", err=True)
        while follow:
            time.sleep(POLL_S)
            _print(_of(logs.more(), name), as_json)


def _far(site: str, record: LogRecord, as_json: bool) -> None:
    if as_json:
        print_json({**({"site": site} if site else {}), **msgspec.to_builtins(record)}, indent=False)
    else:
        click.echo(f"{site} " if site else "", nl=False)
        _print([Record(record.time, record.level, record.module, record.text)], False)


def _of(found: list[Record], name: str) -> list[Record]:
    return [record for record in found if not name or record.of(name)]


def _print(found: list[Record], as_json: bool) -> None:
    for record in found:
        if as_json:
            print_json(asdict(record), indent=False)
            continue
        line = f"{record.time} {record.level:<7} {record.module}: {record.text}"
        click.echo(click.style(line, COLOURS[record.level]) if on_terminal() and record.level in COLOURS else line)
