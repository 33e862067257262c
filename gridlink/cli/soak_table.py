"""The tables of `gridlink bench soak` and `modules` for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

_HELD = {True: "yes", False: "NO", None: ""}


def soak_table(report: dict[str, Any], title: str = "Soak") -> Table:
    """Each figure beside the most that it may be."""
    table = Table("part", "what", "measured", "at most", "held", title=title)
    for column in table.columns[2:4]:
        column.justify = "right"
    last = ""
    for row in report["figures"]:
        if last and row["part"] != last:
            table.add_section()
        limit = "" if row["limit"] is None else _number(row["limit"])
        measured = f"{_number(row['measured'])} {row['unit']}".strip()
        part, last = row["part"] if row["part"] != last else "", row["part"]
        table.add_row(part, row["what"], measured, limit, _HELD[row["held"]])
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}"
