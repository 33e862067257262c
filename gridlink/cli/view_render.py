"""The live view's picture, made of its model. Fits the terminal's height: the log gets what is left."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gridlink.cli.columns import GAP, fitting
from gridlink.cli.output import STYLES
from gridlink.cli.view_model import SiteView
from gridlink.registry import Entry

WORTH = ("state", "module", "reason", "mode", "version", "roles")  # the first are the last to go
SHOWN = ("module", "state", "mode", "version", "roles", "reason")
LEAST_REASON = 20  # columns of a reason that is cut
HEAD, HEADER, LEAST_LOG = 2, 2, 3  # lines: of the head; of the table besides its modules; for the log


def render(view: SiteView, where: str, width: int, height: int) -> RenderableType:
    """The picture, `width` columns wide (40 or more) and at most `height` lines (10 or more) high.

    `where` says which site it is of.
    """
    grid = _grid(view)[: max(height - 8, 1)]
    used = HEAD + (len(grid) + 1 if grid else 0)
    shown = min(len(view.modules), max(height - used - HEADER - LEAST_LOG - 1, 1))
    used += HEADER + shown
    parts = [_head(view), Text(where, style="dim", no_wrap=True, overflow="ellipsis"), _modules(view, shown, width)]
    if grid:
        parts += [Text(""), *grid]
    left = height - used - 1
    if left > 0:
        parts.append(Rule("log", style="dim", align="left"))
        parts += [_log_line(line) for line in list(view.log)[-left:]]
    return Group(*parts)


def _head(view: SiteView) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("gridlink", style="bold")
    if view.site_s is not None:
        text.append(time.strftime("   site time %Y-%m-%d %H:%M", time.gmtime(view.site_s)))
        if view.speed != 1:
            text.append(f" ({view.speed:g} x)")
    text.append("   ending…" if view.ending else "   Ctrl-C ends it", style="yellow" if view.ending else "dim")
    return text


def _modules(view: SiteView, shown: int, width: int) -> RenderableType:
    if not view.modules:
        return Text("starting…", style="dim")
    entries = view.modules[:shown]
    cells = {name: [_cell(name, entry) for entry in entries] for name in WORTH}
    wanted = {name: max(len(name), *map(len, texts)) for name, texts in cells.items()}
    columns = fitting(wanted, width, worth=WORTH, shown=SHOWN, least={"reason": LEAST_REASON})
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim")
    for name, room in columns.items():
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=room)
    for row in zip(*(cells[name] for name in columns), strict=True):
        table.add_row(*(Text(text, style=STYLES.get(text, "")) for text in row))
    hidden = len(view.modules) - shown
    return Group(table, Text(f"and {hidden} more: `gridlink ls`", style="dim")) if hidden else table


def _cell(column: str, entry: Entry) -> str:
    if column == "module":
        return entry.instance
    if column == "roles":
        return ", ".join(entry.roles)
    return str(getattr(entry, column))


def _grid(view: SiteView) -> list[RenderableType]:
    lines: list[RenderableType] = []
    extremes = view.extremes()
    if extremes is not None:
        low, high = extremes
        text = Text("voltage   ", style="dim")
        text.append(f"lowest {low.value_pu:.4f} pu at {low.meter}   highest {high.value_pu:.4f} pu at {high.meter}", "")
        lines.append(text)
    if view.tap is not None:
        lines.append(Text.assemble(("tap       ", "dim"), f"{_signed(view.tap)}   {view.operations} operations"))
    if extremes is not None or view.problems:
        names = [
            f"{'over' if one.kind == 'overVoltage' else 'under'} {one.limit_pu:g} pu ({one.limit}): "
            f"{one.value_pu:.4f} at {one.meter}"
            for one in view.newest_problems()
        ]
        hidden = len(view.problems) - len(names)
        names += [f"and {hidden} more"] if hidden else []
        for number, name in enumerate(names or ["none open"]):
            label = "problems  " if number == 0 else "          "
            lines.append(Text.assemble((label, "dim"), (name, "yellow" if names else "green")))
    return lines


def _signed(position: int) -> str:
    return f"{position:+d}" if position else "0"


def _log_line(line: str) -> Text:
    style = "red" if " ERROR " in line[:40] else "yellow" if " WARNING " in line[:40] else ""
    return Text(line, style=style, no_wrap=True, overflow="ellipsis")
