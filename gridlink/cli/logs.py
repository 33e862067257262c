"""`gridlink logs`: the log lines of a managed directory's processes, in order of time."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict

import click

from gridlink.cli.log_files import LogDirectory, Record
from gridlink.cli.options import STATE, NodeNotFound, Options
from gridlink.cli.output import JSON, on_terminal, print_json

POLL_S = 0.2
COLOURS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}


@click.command()
@click.argument("name", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now, until Ctrl-C.")
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), metavar="N", help="The last N records only.")
@JSON
@click.pass_obj
def command(options: Options, name: str, follow: bool, count: int | None, as_json: bool) -> None:
    """Show the log of a managed directory (-C), of all modules or of the one named, in order of time.

    It is read from files and needs no running node. -f shows the last 10 records first; --json prints one a line.
    """
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


def _of(found: list[Record], name: str) -> list[Record]:
    return [record for record in found if not name or record.of(name)]


def _print(found: list[Record], as_json: bool) -> None:
    for record in found:
        if as_json:
            print_json(asdict(record), indent=False)
            continue
        line = f"{record.time} {record.level:<7} {record.module}: {record.text}"
        click.echo(click.style(line, COLOURS[record.level]) if on_terminal() and record.level in COLOURS else line)
