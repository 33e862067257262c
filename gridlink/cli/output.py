"""What commands print: JSON for programs; for people a table, plain where it isn't a terminal or NO_COLOR is set."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from gridlink.codec import dumps

JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
STYLES = {"RUNNING": "green", "STARTING": "cyan", "STOPPING": "cyan", "BACKOFF": "yellow", "FAILED": "red"}
STYLES |= {"ok": "green", "warn": "yellow", "fail": "red"}


def on_terminal() -> bool:
    """Whether somebody looks who likes colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def print_json(value: Any, *, indent: bool = True) -> None:
    """A JSON document on stdout."""
    click.echo(dumps(value, indent=indent).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; words such as RUNNING and FAILED are coloured on a terminal."""
    if not on_terminal():
        click.echo("\n".join(plain_table(columns, rows)))
        return
    from rich import box  # noqa: PLC0415 - for people alone
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table of words and spaces, which `grep` and `awk` understand."""
    lines = [list(map(str.upper, columns)), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def print_reply(value: Any, *, raw: bool) -> None:
    """JSON on one line for programs, on several and coloured for people."""
    if raw or not on_terminal():
        print_json(value, indent=False)
        return
    from rich.console import Console  # noqa: PLC0415 - for people alone

    Console().print_json(dumps(value).decode())


Print = Callable[[str], None]
