"""What `gridlink bench update` found, as a table."""

from __future__ import annotations

from typing import Any


def update_table(report: dict[str, Any]) -> Any:
    """A row a figure."""
    from rich.table import Table  # noqa: PLC0415 - for people alone

    table = Table("figure", "", title=f"{report['updates']} updates in mode {report['mode']}")
    table.columns[1].justify = "right"
    for name in ("rate_per_s", "sent", "answered", "lost", "duplicated", "longest_gap_ms", "longest_wait_ms"):
        table.add_row(name, str(report[name]))
    return table
