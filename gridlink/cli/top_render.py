"""The picture of `gridlink top`, made of its rows: processes above, modules below, as much as the terminal has room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gridlink.cli.columns import GAP, fitting
from gridlink.cli.output import STYLES
from gridlink.cli.top_model import SORTS, ModuleRow, ProcessRow, ordered

KEYS = "q ends  c CPU  m memory  p p99  l longest  s messages  e errors  f flash  n name  i inverts"
SHORT_KEYS = "q ends, c m p l s e f n sort, i inverts"
Cell = Callable[[Any], str]


def _number(field: str, digits: int = 1) -> Cell:
    def cell(row: Any) -> str:
        value = getattr(row, field)
        return "-" if value is None else f"{value:.{digits}f}"

    return cell


def _text(field: str) -> Cell:
    return lambda row: str(getattr(row, field))


MODULE_CELLS: dict[str, Cell] = {
    "module": _text("instance"),
    "state": _text("state"),
    "mode": _text("mode"),
    "cpu %": _number("cpu_percent"),
    "mean ms": _number("mean_ms", 3),
    "p99 ms": _number("p99_ms", 3),
    "longest ms": _number("longest_ms"),
    "msg/s": _number("messages_per_s"),
    "errors": _number("errors", 0),
}
MODULE_WORTH = ("cpu %", "module", "p99 ms", "msg/s", "state", "longest ms", "errors", "mean ms", "mode")
PROCESS_CELLS: dict[str, Cell] = {
    "process": _text("process"),
    "pid": _text("pid"),
    "cpu %": _number("cpu_percent"),
    "own %": _number("own_percent"),
    "pss MiB": _number("pss_mib"),
    "uss MiB": _number("uss_mib"),
    "rss MiB": _number("rss_mib"),
    "flash MiB/day": _number("written_mib_per_day"),
    "cpu s": _number("cpu_s"),
    "up s": _number("up_s", 0),
}
PROCESS_WORTH = ("pss MiB", "process", "cpu %", "uss MiB", "flash MiB/day", "pid", "own %", "rss MiB", "cpu s", "up s")
SORTED_COLUMN = {  # how it is sorted -> the columns of both tables that say so
    "cpu": "cpu %",
    "memory": "pss MiB",
    "p99": "p99 ms",
    "longest": "longest ms",
    "messages": "msg/s",
    "errors": "errors",
    "flash": "flash MiB/day",
}


def render(
    head: str,
    modules: Sequence[ModuleRow],
    processes: Sequence[ProcessRow],
    sort: str,
    inverted: bool,
    width: int,
    height: int,
) -> RenderableType:
    """The picture, `width` columns (40 or more) and at most `height` lines (12 or more)."""
    room = height - 6  # the head, the keys, two headers, a line between
    for_processes = min(len(processes), max(room // 3, room - len(modules), 1))
    for_modules = max(room - for_processes, 1)
    by_module, by_process = SORTS[sort]
    return Group(
        Text(head, no_wrap=True, overflow="ellipsis", style="bold"),
        _table(
            ordered(processes, by_process, inverted=inverted), PROCESS_CELLS, PROCESS_WORTH, sort, width, for_processes
        ),
        Text(""),
        _table(ordered(modules, by_module, inverted=inverted), MODULE_CELLS, MODULE_WORTH, sort, width, for_modules),
        Text(KEYS if width > len(KEYS) else SHORT_KEYS, no_wrap=True, overflow="ellipsis", style="dim"),
    )


def _table(
    rows: Sequence[Any], cells: dict[str, Cell], worth: Sequence[str], sort: str, width: int, lines: int
) -> RenderableType:
    shown = rows[:lines] if len(rows) <= lines else rows[: max(lines - 1, 1)]
    texts = {name: [cell(row) for row in shown] for name, cell in cells.items()}
    wanted = {name: max([len(name), *map(len, column)]) for name, column in texts.items()}
    columns = fitting(wanted, width, worth=worth, shown=tuple(cells))
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim")
    for name, room in columns.items():
        words = name in ("module", "process", "state", "mode")
        style = "bold" if name == SORTED_COLUMN.get(sort) else "dim"
        header = Text(name, style=style)
        table.add_column(header, no_wrap=True, overflow="ellipsis", width=room, justify="left" if words else "right")
    for row, line in zip(shown, zip(*(texts[name] for name in columns), strict=True), strict=True):
        state = getattr(row, "state", "")  # of a module; one that doesn't run is seen, however narrow it is
        style = "" if state == "RUNNING" else STYLES.get(state, "")
        table.add_row(*(Text(text, style=STYLES.get(text, "")) for text in line), style=style)
    hidden = len(rows) - len(shown)
    return Group(table, Text(f"and {hidden} more", style="dim")) if hidden else table
